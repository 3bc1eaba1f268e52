/* The graphs: queue depth and rates over the last minutes, a line for each service, moving on with time.
 *
 * uPlot draws them. The lines are a History's (figures.js), in the services' colours (colours.js), with a thin
 * line across for everything that happened (events.js). Which are drawn, and what they are, is in legend.js.
 */
"use strict";

class Graphs {
    constructor(history, suite, colours, events) {
        Object.assign(this, {history, suite, colours, events});
        this.span = 60;                 // seconds that are shown
        this.direction = "sent";        // which rates,
        this.over = "_now";             // over how long: one second, or ten
        this.all = [
            new Graph(this, "depth", count, () => "depth"),
            new Graph(this, "rates", tenths, () => this.direction + this.over),
        ];
    }

    /* Of services that nobody has heard of for long, nothing stays here. */
    forget() {
        this.all.forEach(({legend}) => legend.forget((name) => this.history.services.has(name)));
    }

    show(span) {
        this.span = span;
        this.all.forEach((graph) => graph.update(true));
    }

    resize() {
        this.all.forEach((graph) => graph.resize());
    }

    /* What is drawn: by graph, by service, a value for each time. */
    plotted() {
        return Object.fromEntries(this.all.map((graph) => [graph.element.id,
            Object.fromEntries(graph.names.map((name, index) => [name, [...graph.plot.data[index + 1]]]))]));
    }

    /* A thin line for everything that happened. */
    drawEvents(plot) {
        const {ctx, bbox: {top, left, width, height}} = plot;
        ctx.save();
        ctx.strokeStyle = style("--bad");
        ctx.globalAlpha = 0.35;
        ctx.setLineDash([4, 4]);
        for (const {time, drawn} of this.events.list) {
            const x = plot.valToPos(time, "x", true);
            if (drawn && x >= left && x <= left + width) {
                ctx.beginPath();
                ctx.moveTo(x, top);
                ctx.lineTo(x, top + height);
                ctx.stroke();
            }
        }
        ctx.restore();
    }
}

class Graph {
    /* One of the `graphs`. `text(value)`: as the legend has it; `row()`: which of a service's rows is drawn. */
    constructor(graphs, id, text, row) {
        Object.assign(this, {graphs, element: at(id), text, row, names: [], plot: undefined, drawn: -1});
        const column = (name) => graphs.suite.known.get(name)?.column || "helpers";
        this.legend = new Legend(at(`${id}-legend`), graphs.colours, column, () => this.showLines());
    }

    rebuild() {
        this.plot?.destroy();
        this.plot = new uPlot(this.options(), this.data(), this.element);
        this.drawn = -1;
    }

    /* New data, or other services: those that had a value within the time that is shown. */
    update(anew = false) {
        const {history, span} = this.graphs, since = history.times.at(-1) - span;
        const names = [...history.services.keys()].filter((name) => history.shows(name, this.row(), since)).sort(byName);
        if (!this.plot || anew || names.join() !== this.names.join()) {
            this.names = names;
            this.legend.show(names);
            this.rebuild();
        } else {
            this.plot.setData(this.data(), false);
            this.drawn = -1;
        }
        this.showValues();
    }

    data() {
        const {times, services} = this.graphs.history;
        return [times, ...this.names.map((name) => services.get(name)[this.row()])];
    }

    /* Others are hidden now. */
    showLines() {
        this.names.forEach((name, index) => this.plot.setSeries(index + 1, {show: !this.legend.hidden.has(name)}));
    }

    /* In the legend: what was where the pointer is, else the newest. */
    showValues() {
        const {data, cursor} = this.plot, index = cursor.idx ?? data[0].length - 1;
        this.legend.showValues((name) => {
            const value = data[this.names.indexOf(name) + 1]?.[index];
            return value === null || value === undefined ? "–" : this.text(value);
        });
    }

    options() {
        const {span, colours} = this.graphs;
        const axis = {
            stroke: () => style("--soft"),
            grid: {stroke: () => style("--line"), width: 1},
            ticks: {show: false},
            font: "12px system-ui, sans-serif",
        };
        const clock = {hour: "2-digit", minute: "2-digit", ...span < 300 && {second: "2-digit"}};
        const times = (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", clock));
        const values = (_, values) => values.map((value) => value.toLocaleString("en"));
        return {
            ...this.size(),
            legend: {show: false},
            cursor: {sync: {key: "barker"}, drag: {x: false, y: false}, points: {size: 6}},
            scales: {x: {auto: false}, y: {range: (_, low, high) => [0, Math.max(10, (high || 0) * 1.1)]}},
            axes: [{...axis, size: 34, values: times}, {...axis, size: 62, values}],
            series: [{}, ...this.names.map((name) => ({
                label: name,
                stroke: colours.of(name),
                width: 2,
                points: {show: false},
                show: !this.legend.hidden.has(name),
            }))],
            hooks: {
                drawAxes: [(plot) => this.graphs.drawEvents(plot)],
                setCursor: [(plot) => plot === this.plot && this.showValues()],
            },
        };
    }

    size() {
        return {width: Math.max(200, this.element.clientWidth), height: 240};
    }

    resize() {
        this.plot?.setSize(this.size());
        this.drawn = -1;
    }

    /* Move on with time, as soon as that is a pixel. */
    draw(now) {
        if (this.plot) {
            const {span} = this.graphs;
            const pixel = span / (this.plot.bbox.width || 1), step = Math.floor(now / pixel);
            if (step !== this.drawn) {
                this.drawn = step;
                this.plot.setScale("x", {min: now - span, max: now});
            }
        }
    }
}

/* What the style sheet has under a name: a canvas knows none of them. */
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
