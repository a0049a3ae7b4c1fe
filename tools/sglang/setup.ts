/** `node tools/sglang/setup.ts`: installs SGLang for CPUs and prints its folder. */
import { installSglang } from './install.ts';

const { folder } = await installSglang((line) => console.error(line));
console.log(folder);
