"use strict";

// The pointer: what is under it is told, a click chooses it; a drag and the wheel move the picture.

let dragged = null;   // Where a drag has begun, and whether it has moved.

function place(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
}

function showTip(event) {
    const [x, y] = place(event), found = x < view.width - STRIP ? under(x, y) : [];
    const tip = element("tip");
    canvas.style.cursor = found.length ? "pointer" : "default";
    tip.hidden = !found.length;
    if (found.length) {
        tip.replaceChildren(...found.slice(0, 4).map((each) => told(each, false)));
        if (found.length > 4) {
            tip.append(make("p", `and ${found.length - 4} more: click to see them`, "more"));
        }
        const below = canvas.offsetTop + y + 18;
        const hasRoom = below + tip.offsetHeight < canvas.offsetTop + view.height;
        tip.style.left = `${Math.max(4, Math.min(x + 16, view.width - tip.offsetWidth - 8))}px`;
        tip.style.top = `${Math.max(4, hasRoom ? below : below - tip.offsetHeight - 34)}px`;
    }
}

canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (dragged?.isStrip) {
        scrollTo(placeOf(y / view.height * run.seconds) - 0.5 * view.height / view.scale);
    } else if (dragged) {
        dragged.hasMoved ||= Math.abs(y - dragged.y) > 4;
        scrollTo(dragged.top - (y - dragged.y) / view.scale);
    } else {
        showTip(event);
        return;
    }
    element("tip").hidden = true;
    redraw();
});
canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = place(event);
    canvas.setPointerCapture(event.pointerId);
    dragged = {y, top: view.top, hasMoved: false, isStrip: x >= view.width - STRIP};
    if (dragged.isStrip) {
        scrollTo(placeOf(y / view.height * run.seconds) - 0.5 * view.height / view.scale);
        redraw();
    }
});
canvas.addEventListener("pointerup", (event) => {
    const isClick = dragged && !dragged.hasMoved && !dragged.isStrip;
    dragged = null;
    if (isClick) {
        pause();
        const [x, y] = place(event);
        here = under(x, y);
        view.cursor = here.length ? (here[0].mark?.at ?? arrows.sent[here[0].arrow]) : Math.max(0, timeOf(y));
        tell(here);
        markCurrent();
        redraw();
    }
});
canvas.addEventListener("pointerleave", () => { element("tip").hidden = true; });
canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
        zoom(Math.exp(-event.deltaY * 0.0025), place(event)[1]);
    } else {
        scrollTo(view.top + event.deltaY / view.scale);
    }
    element("tip").hidden = true;
    redraw();
}, {passive: false});
