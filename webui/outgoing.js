/* The user's own barks that are not on the timeline yet: which are to be sent, and what becomes of each.
 *
 * What no outbox has accepted is kept in the page's storage, too: a reload, or a browser that is killed, loses none.
 * A bark keeps its id, which makes it the same bark should an outbox have had it after all. It knows no page;
 * barker.js sends and shows.
 */
"use strict";

const MOST_WAITING = 1000;      // own barks that are not on the timeline yet

class Outgoing {
    waiting = new Map();        // by id, in the order they were made
    #storage;
    #prefix;
    #number = 0;

    /* `storage` is like localStorage, and may fail; `whose` says of which suite and which user the barks are. */
    constructor(storage, whose) {
        this.#storage = storage;
        this.#prefix = `barker bark ${whose} `;
        for (const [id, {number, created, ...bark}] of this.#kept().slice(0, MOST_WAITING)) {
            this.waiting.set(id, {id, ...bark, created: new Date(created)});
            this.#number = number;
        }
    }

    /* One more bark; false when too many wait, for who knows how long. */
    add(bark) {
        if (this.waiting.size >= MOST_WAITING) {
            this.pass();
        }
        if (this.waiting.size >= MOST_WAITING) {
            return false;
        }
        const {id, user, text, created} = bark;
        this.waiting.set(id, bark);
        this.#number += 1;
        stored(() => this.#storage.setItem(this.#prefix + id,
            JSON.stringify({user, text, created: created.valueOf(), number: this.#number})));
        return true;
    }

    /* Send, with `send(bark)`, what is not accepted yet: as far as that says that it has gone. */
    send(send) {
        for (const bark of this.waiting.values()) {
            if (!bark.accepted && !bark.sent) {
                bark.sent = send(bark);
                if (!bark.sent) {
                    return;
                }
            }
        }
    }

    /* What was in flight is to be sent again: the line was lost. */
    unsend() {
        for (const bark of this.waiting.values()) {
            bark.sent = false;
        }
    }

    /* What became of a bark: "accepted", "rejected" or "released". The bark, if it waits no more; when it was accepted,
     * the timeline has gone past its place then. */
    settle(bark, outcome) {
        if (!this.waiting.has(bark.id)) {
            return undefined;                   // it came on the timeline before
        }
        if (outcome === "released") {
            bark.sent = bark.past = false;      // as by an outbox whose disk is full
            return undefined;
        }
        this.#forget(bark.id);
        if (outcome === "accepted" && !bark.past) {
            bark.accepted = true;
            return undefined;
        }
        this.waiting.delete(bark.id);
        return bark;
    }

    /* A bark is on the timeline: if it is one of these, it and those before it that wait no more. */
    arrive(id) {
        const bark = this.waiting.get(id);
        if (!bark) {
            return [];
        }
        const before = this.pass(id);           // an author's barks come in order
        this.waiting.delete(id);
        this.#forget(id);
        return [...before, bark];
    }

    /* The timeline has gone past the barks before `last`, or all. They were among those that were missed: they wait no
     * more, and are returned. What is on its way to an outbox waits until it is accepted. */
    pass(last) {
        const gone = [];
        for (const bark of this.waiting.values()) {
            if (bark.id === last) {
                break;
            }
            if (bark.accepted) {
                this.waiting.delete(bark.id);
                gone.push(bark);
            } else if (bark.sent) {
                bark.past = true;
            }
        }
        return gone;
    }

    /* What is kept, in the order it was made: [id, bark]. */
    #kept() {
        const keys = stored(() => Object.keys(this.#storage)) || [];
        return keys.filter((key) => key.startsWith(this.#prefix))
            .map((key) => [key.slice(this.#prefix.length), stored(() => JSON.parse(this.#storage.getItem(key)))])
            .filter(([, bark]) => bark?.number)
            .sort(([, one], [, other]) => one.created - other.created || one.number - other.number);
    }

    #forget(id) {
        stored(() => this.#storage.removeItem(this.#prefix + id));
    }
}

/* What `use` returns; nothing when there is no storage, or no room in it. Then a page is as long as it is open. */
function stored(use) {
    try {
        return use();
    } catch {
        return undefined;
    }
}
