/* Signing in and out on the timeline page, where people have passwords (barker people): who has signed in is one user.
 *
 * Over HTTP alone: a page from the disk has the key of whoever runs the suite.
 */
"use strict";

const SAID = {0: "The gateway is away; try again in a moment.", 403: "The name or the password is wrong."};

/* `onPerson` is called with who is signed in, or with nobody. */
function watchAdmission(onPerson) {
    onAdmission = ({person, asks}) => {
        at("sign-in").hidden = !asks;
        at("sign-out").hidden = !person;
        document.body.classList.toggle("asks", asks);
        document.body.classList.toggle("person", Boolean(person));
        onPerson(person);
    };
    at("sign-in").addEventListener("submit", async (event) => {
        event.preventDefault();
        const name = at("name").value.trim(), problem = at("sign-in-problem"), button = at("sign-in").querySelector("button");
        button.disabled = true;
        const {status, text} = await atDoor("/sign-in", `${name}\n${at("password").value}`);
        button.disabled = false;
        at("password").value = "";
        setText(problem, status === 200 ? "" : SAID[status] ?? text);
        if (status === 200) {
            location.search = `?${new URLSearchParams({user: text})}`;
        } else {
            at("password").focus();
        }
    });
    at("sign-out").addEventListener("click", async () => {
        await atDoor("/sign-out", "");
        location.reload();
    });
}
