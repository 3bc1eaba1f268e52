/* Colours: each service has one, the same in the picture, the graphs and the table. It knows no page. */
"use strict";

class Colours {
    static HUES = [32, 250, 150, 305, 85, 205, 350, 120, 275, 60, 180, 330];

    constructor() {
        this.numbers = new Map();       // by name: the lowest that was free
    }

    of(name) {
        const {HUES} = Colours;
        if (!this.numbers.has(name)) {
            const taken = new Set(this.numbers.values());
            let free = 0;
            while (taken.has(free)) {
                free += 1;
            }
            this.numbers.set(name, free);
        }
        const n = this.numbers.get(name), ring = Math.floor(n / HUES.length) % 2;
        return `oklch(${ring ? 52 : 64}% ${ring ? 0.11 : 0.16} ${HUES[n % HUES.length]})`;
    }

    /* Those that are not `wanted` are free again. */
    keep(wanted) {
        for (const name of this.numbers.keys()) {
            if (!wanted(name)) {
                this.numbers.delete(name);
            }
        }
    }
}
