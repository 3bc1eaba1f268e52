/* Numbers and times as both pages write them, for people. It knows no page, and is told the time.
 *
 * Used by barker.js and barks.js here, and by picture.js, graphs.js and table.js in monitoring/.
 */
"use strict";

const LAST_TIME = 253402300799.999;     // seconds since 1970: the end of the year 9999, as in core/barks.py

/* Seconds since 1970 that a calendar has a day for: peers may say any time. */
const isTime = (seconds) => Number.isFinite(seconds) && seconds >= 0 && seconds <= LAST_TIME;

/* A function that writes numbers with so many digits after the point, and nothing for what is not known. */
const number = (digits, scale = 1) => (value) => value === null || value === undefined ? ""
    : (value * scale).toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
const count = number(0), tenths = number(1);

/* Messages a second. */
const rateText = (rate) => `${rate >= 100 ? count(rate) : tenths(rate)}/s`;

function duration(seconds) {
    const s = Math.max(0, Math.round(seconds));
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${tenths(s / 3600)} h`;
}

/* How long before `now` a date was; the day, if that is another. */
function ago(date, now) {
    if (!date) {
        return "undated";
    }
    const minutes = Math.floor((now - date) / 60000);
    return Math.abs(minutes) >= 1440 ? date.toLocaleDateString()
        : minutes < 1 ? "now" : minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}
