// A client on rhea, as its documentation teaches: sends COUNT messages to ADDRESS, then receives them again.
//
//     node rhea_peer.js RHEA PORT ADDRESS COUNT
//
// It follows a redirect; prints "received COUNT in order" at the end.
const [rheaPath, port, address, countText] = process.argv.slice(2);
const container = require(rheaPath);
const count = Number(countText);
let sent = 0;
let accepted = 0;
const received = [];

function follow(context, open) {
    const error = context[open].error;
    if (error.condition !== "amqp:link:redirect") throw error;
    const info = error.info;
    context.connection.close();
    const other = container.connect({host: info["network-host"], port: info.port, reconnect: false});
    if (open === "sender") other.open_sender(info.address);
    else other.open_receiver(info.address);
}

container.on("sendable", (context) => {
    while (context.sender.sendable() && sent < count) {
        context.sender.send({message_id: `r-${sent}`, body: {number: sent}});
        sent += 1;
    }
});
container.on("accepted", (context) => {
    accepted += 1;
    if (accepted < count) return;
    context.connection.close();
    container.connect({host: "127.0.0.1", port: Number(port), reconnect: false}).open_receiver(address);
});
container.on("message", (context) => {
    received.push(context.message.body.number);
    if (received.length < count) return;
    const inOrder = received.every((number, at) => number === at);
    console.log(`received ${received.length} ${inOrder ? "in order" : "out of order"}`);
    context.connection.close();
});
container.on("sender_error", (context) => follow(context, "sender"));
container.on("receiver_error", (context) => follow(context, "receiver"));

container.connect({host: "127.0.0.1", port: Number(port), reconnect: false}).open_sender(address);
