/* What of a timeline is on the page: what waits while one reads, what is near the screen, what is read aloud.
 *
 * It knows no page, and is told the time; barker.js draws what this decides. Times are in milliseconds, heights and
 * places in pixels.
 */
"use strict";

const MOST_KEPT = 200;          // barks on the page, and as many that wait
const MOST_KNOWN = 5000;        // ids known again: with each new link the history comes again
const PACE = 500;               // time between two times that barks are shown by themselves: no eye is faster
const FLOOD = 20;               // when so many have come meanwhile, nobody reads them all:
const FLOOD_PACE = 2000;        // then what is shown stays for so long
const STILL = 2000;             // one who has not moved for so long is still
const IN_SIGHT = 10000;         // time that nothing is put above one's own bark

class Timeline {
    shown = [];                 // what is on the page, the newest first: barks, and {missed: count} where some were
    waiting = [];               // what has come since, likewise
    waits = 0;                  // how many barks wait, those too that were too many to keep
    known = new Set();          // ids of barks that have come
    #heard = [];                // the last barks that nobody has been told of
    #unheard = 0;
    #taken = -Infinity;
    #held = -Infinity;

    /* A bark has come; whether it is a new one. */
    add(bark) {
        if (this.known.has(bark.id)) {
            return false;
        }
        this.known.add(bark.id);
        if (this.known.size > MOST_KNOWN) {
            this.known.delete(this.known.values().next().value);
        }
        this.#put(bark);
        this.waits += 1;
        this.#unheard += 1;
        this.#heard = [...this.#heard, bark].slice(-MOST_KEPT);
        return true;
    }

    /* Between what has come and what comes, so many barks were missed. */
    missed(count) {
        const [newest] = this.waiting;
        if (newest?.missed) {
            this.waiting.shift();
        }
        this.#put({missed: count + (newest?.missed || 0)});
    }

    #put(item) {
        this.waiting.unshift(item);
        if (this.waiting.length > MOST_KEPT) {
            this.waiting.pop();
        }
    }

    /* How long until what waits may be shown by itself: only to one who is at the top, and still. They `moved` last
     * at that time; never, as far as this goes, if they are reading. */
    delay(now, {atTop, reading, moved}) {
        return !atTop || reading ? Infinity
            : Math.max(0, this.#taken + this.pace - now, this.#held - now, moved + STILL - now);
    }

    /* Time between two times that barks are shown by themselves; the history, which comes first, is no flood. */
    get pace() {
        return this.waits < FLOOD || this.shown.length < MOST_KEPT ? PACE : FLOOD_PACE;
    }

    /* Show what waits. */
    take(now) {
        this.shown = [...this.waiting, ...this.shown].slice(0, MOST_KEPT);
        this.waiting = [];
        this.waits = 0;
        this.#taken = now;
    }

    /* Show what waits, as one's own bark is among it, and leave that in sight. */
    hold(now) {
        this.take(now);
        this.#held = now + IN_SIGHT;
    }

    /* What is to be read aloud of what has come since this was asked; nothing if nothing has. `names` tells whether
     * a bark mentions who listens. */
    tell(names) {
        const count = this.#unheard, [bark] = this.#heard, named = this.#heard.filter(names).length;
        this.#unheard = 0;
        this.#heard = [];
        return count === 0 ? ""
            : count === 1 ? `${bark.user} barks: ${bark.text}`
            : `${count} new barks${named ? `, ${named} of them to you` : ""}`;
    }
}

/* Which of the items, of such heights one below the other, lie between `top` and `bottom`: those from `from` up to
 * `to`, with so much room `above` and `below` them. */
function near(heights, top, bottom) {
    let from = 0, above = 0;
    while (from < heights.length && above + heights[from] <= top) {
        above += heights[from];
        from += 1;
    }
    let to = from, end = above;
    while (to < heights.length && end < bottom) {
        end += heights[to];
        to += 1;
    }
    return {from, to, above, below: heights.slice(to).reduce((sum, height) => sum + height, 0)};
}
