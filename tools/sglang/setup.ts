/** `node tools/sglang/setup.ts`: installs SGLang for CPUs and prints its folder. */
import { installSGLang } from './install.ts';

const { folder } = await installSGLang((line) => console.error(line));
console.log(folder);
