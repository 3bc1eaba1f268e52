/* A graph's legend: a button for each line, in groups by kind of service; pressed, the line is drawn.
 *
 * A Graph (graphs.js) says which lines there are, and what each has as value.
 */
"use strict";

class Legend {
    static KINDS = {
        clients: "autobarks",
        queues: "outboxes",
        workers: "bizlogics",
        timelines: "inboxes",
        helpers: "others",
    };

    /* `kind(name)`: a service's column; `onChange` is called when other lines are to be drawn. */
    constructor(element, colours, kind, onChange) {
        Object.assign(this, {element, colours, kind, onChange});
        this.hidden = new Set();        // lines that are not drawn
        this.groups = new Map();        // by kind: the element
        this.buttons = new Map();       // by name
        for (const [kind, title] of Object.entries(Legend.KINDS)) {
            const whole = make("button", "kind", title);
            whole.type = "button";
            whole.addEventListener("click", () => this.toggle(this.names(kind)));
            const group = make("div", "group", whole, make("div", "lines"));
            group.setAttribute("role", "group");
            group.setAttribute("aria-label", title);
            this.groups.set(kind, group);
            element.append(group);
        }
    }

    names(kind) {
        return [...this.buttons.keys()].filter((name) => this.buttons.get(name).dataset.kind === kind);
    }

    /* Hide these lines if all are drawn, else draw them all. */
    toggle(names) {
        const hide = names.every((name) => !this.hidden.has(name));
        names.forEach((name) => hide ? this.hidden.add(name) : this.hidden.delete(name));
        this.press();
        this.onChange();
    }

    /* There are these lines now. */
    show(names) {
        for (const [name, button] of this.buttons) {
            if (!names.includes(name)) {
                button.remove();
                this.buttons.delete(name);
            }
        }
        for (const name of names.filter((name) => !this.buttons.has(name))) {
            const kind = this.kind(name), lines = this.groups.get(kind).lastElementChild;
            const others = this.names(kind).map((other) => this.buttons.get(other));
            const button = this.button(name, kind);
            this.buttons.set(name, button);
            if (kind === "helpers") {
                this.hidden.add(name);          // at first: they are not what one looks at
            }
            lines.insertBefore(button, others.find((other) => byName(name, other.dataset.name) < 0) || null);
        }
        for (const [kind, group] of this.groups) {
            group.hidden = this.names(kind).length === 0;
        }
        this.press();
    }

    button(name, kind) {
        const mark = make("i", ""), button = make("button", "", mark, name, make("span", "value"));
        mark.style.background = this.colours.of(name);
        button.type = "button";
        Object.assign(button.dataset, {name, kind});
        button.addEventListener("click", () => this.toggle([name]));
        return button;
    }

    press() {
        for (const [name, button] of this.buttons) {
            button.setAttribute("aria-pressed", !this.hidden.has(name));
        }
        for (const [kind, group] of this.groups) {
            const drawn = this.names(kind).some((name) => !this.hidden.has(name));
            group.firstElementChild.setAttribute("aria-pressed", drawn);
        }
    }

    /* Each line's value, as text. */
    showValues(text) {
        for (const [name, button] of this.buttons) {
            setText(button.lastElementChild, text(name));
        }
    }

    /* Of services that nobody has heard of for long, nothing stays here. */
    forget(known) {
        for (const name of this.hidden) {
            if (!known(name)) {
                this.hidden.delete(name);
            }
        }
    }
}
