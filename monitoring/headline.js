/* The headline: the few figures that say how the suite does, and what lost and twice are counted of.
 *
 * They are a Suite's (figures.js), the counts by the monitor (barker/core/balance.py).
 */
"use strict";

class Headline {
    /* By figure: what is written, and whether it is "good" or "bad", given Suite.headline(). */
    static FIGURES = {
        rate: ({rate}) => [rateText(rate).replace("/s", "")],
        accepted: ({accepted}) => [Headline.brief(accepted)],
        delivered: ({delivered}) => [Headline.brief(delivered)],
        lost: ({lost, suspect}) => suspect > lost ? [`${count(lost)} to ${count(suspect)}`, "bad"]
            : [count(lost), lost > 0 ? "bad" : "good"],
        twice: ({twice}) => [count(twice), twice > 0 ? "bad" : "good"],
        latency: ({latency}) => [`${tenths(latency * 1000)} ms`],
        dead: ({dead}) => [count(dead), dead > 0 ? "bad" : ""],
    };

    constructor(suite) {
        this.suite = suite;
    }

    /* A count that fits in: from ten millions on not to the last one. */
    static brief(value) {
        return value < 1e7 ? count(value)
            : value.toLocaleString("en", {notation: "compact", maximumFractionDigits: 2});
    }

    show() {
        const told = this.suite.headline();
        for (const element of at("headline").children) {
            const {figure} = element.dataset, known = told[figure] !== undefined;
            const [text, verdict = ""] = known ? Headline.FIGURES[figure](told) : ["–"];
            setText(element.querySelector("dd"), text);
            element.dataset.verdict = verdict;
        }
        setText(at("receiver"), this.suite.receiver);
        setText(at("counted"), this.suite.counted());
    }
}
