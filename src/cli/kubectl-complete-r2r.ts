#!/usr/bin/env node
/** Tab completion: kubectl runs `kubectl_complete-r2r` from the PATH with the words behind `kubectl r2r`. */
import { clusterNames, completions } from './completion.ts';

console.log((await completions(process.argv.slice(2), clusterNames)).join('\n'));
