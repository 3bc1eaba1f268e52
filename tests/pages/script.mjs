/* The pages' files as the pages have them: classic scripts, whose names all that follows can use. */

import {readFileSync} from "node:fs";
import vm from "node:vm";

const ROOT = new URL("../../", import.meta.url);

/* Run a file of the checkout, such as "webui/numbers.js". */
export function script(path) {
    vm.runInThisContext(readFileSync(new URL(path, ROOT), "utf8"), {filename: path});
}
