/* The graphs: queue depth and rates over the last minutes, a line for each service, moving on with time.
 *
 * uPlot draws them. The lines are a History's (figures.js), in the services' colours (colours.js), with a thin
 * line across for everything that happened (events.js).
 */
"use strict";

class Graphs {
    constructor(history, colours, events) {
        Object.assign(this, {history, colours, events});
        this.span = 300;                // seconds that are shown
        this.direction = "sent";        // which rates
        const rows = (name) => history.services.get(name);
        this.all = [
            new Graph(this, at("depth"), count, (name) => rows(name).depth.some((value) => value !== null)
                ? rows(name).depth : undefined),
            new Graph(this, at("rates"), tenths, (name) => rows(name)[this.direction]),
        ];
    }

    show(span) {
        this.span = span;
        this.all.forEach((graph) => graph.rebuild());
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
    /* One of the `graphs`. `text(value)`: as the legend has it; `rows(name)`: a service's values, or nothing. */
    constructor(graphs, element, text, rows) {
        Object.assign(this, {graphs, element, text, rows, names: [], plot: undefined, drawn: -1});
    }

    rebuild() {
        this.plot?.destroy();
        this.plot = new uPlot(this.options(), this.data(), this.element);
        this.drawn = -1;
    }

    /* New data, or other services. */
    update() {
        const names = [...this.graphs.history.services.keys()].filter((name) => this.rows(name)).sort(byName);
        if (!this.plot || names.join() !== this.names.join()) {
            this.names = names;
            this.rebuild();
        } else {
            this.plot.setData(this.data(), false);
            this.plot.setLegend({idx: this.plot.cursor.idx ?? null});
            this.drawn = -1;
        }
    }

    data() {
        return [this.graphs.history.times, ...this.names.map((name) => this.rows(name))];
    }

    options() {
        const {span, colours} = this.graphs;
        const axis = {
            stroke: () => style("--soft"),
            grid: {stroke: () => style("--line"), width: 1},
            ticks: {show: false},
            font: "12px system-ui, sans-serif",
        };
        const text = (value) => value === null || value === undefined ? "–" : this.text(value);
        const clock = {hour: "2-digit", minute: "2-digit", ...span < 300 && {second: "2-digit"}};
        const times = (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", clock));
        const values = (_, values) => values.map((value) => value.toLocaleString("en"));
        return {
            ...this.size(),
            cursor: {sync: {key: "barker"}, drag: {x: false, y: false}, points: {size: 6}},
            scales: {x: {auto: false}, y: {range: (_, low, high) => [0, Math.max(10, (high || 0) * 1.1)]}},
            axes: [{...axis, size: 34, values: times}, {...axis, size: 62, values}],
            series: [{}, ...this.names.map((name) => ({
                label: name,
                stroke: colours.of(name),
                width: 2,
                points: {show: false},
                value: (plot, value, series, index) => text(index === null ? plot.data[series].at(-1) : value),
            }))],
            hooks: {drawAxes: [(plot) => this.graphs.drawEvents(plot)]},
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
