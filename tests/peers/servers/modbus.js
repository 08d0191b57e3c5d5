// Many units behind one address, on modbus-serial (npm): a gateway, or a bus on a serial port.
//
//   node modbus.js tcp           listens on a free port of 127.0.0.1
//   node modbus.js rtu DEVICE    9600 8N1
//
// Units 1 to 60 are there: holding registers 0 to 99 hold 100 * unit + n, input registers the same, coils every second.
// Registers from 100 on are an illegal address. Units from 200 are absent: over TCP 201 and more are reported by the
// gateway (exception 11), all others are never answered.
//
// Says {"ready": {"port": ...}}. Commands, one line of JSON each on standard input: {"do": "delay", "ms": 20},
// {"do": "hide", "unit": 3}, {"do": "show", "unit": 3}, {"do": "asked"} -> {"units": [...]}, one for each
// register or coil, since the last time.
"use strict";

const net = require("net");
const path = require("path");
const readline = require("readline");
const ModbusRTU = require(path.join(process.cwd(), ".peers", "node_modules", "modbus-serial"));

const [, , kind, device] = process.argv;
const written = new Map();
const hidden = new Set();
let delay = 0;
let asked = [];

function say(what) {
    process.stdout.write(JSON.stringify(what) + "\n");
}

function refused(code) {
    const err = new Error("refused");
    err.modbusErrorCode = code;
    return err;
}

function present(unit) {
    return unit >= 1 && unit <= 60 && !hidden.has(unit);
}

function later(unit, value) {
    asked.push(unit);
    if (!present(unit)) {
        return kind === "tcp" && unit > 200 ? Promise.reject(refused(11)) : new Promise(() => {});
    }
    return new Promise((resolve, reject) => {
        const settle = () => (value instanceof Error ? reject(value) : resolve(value));
        if (delay) setTimeout(settle, delay);
        else settle();
    });
}

function register(at, unit) {
    return later(unit, at < 100 ? (written.get(`${unit} ${at}`) ?? 100 * unit + at) : refused(2));
}

const vector = {
    getHoldingRegister: register,
    getInputRegister: register,
    getCoil: (at, unit) => later(unit, at < 100 ? (written.get(`${unit} c${at}`) ?? at % 2 === 0) : refused(2)),
    getDiscreteInput: (at, unit) => later(unit, at < 100 ? at % 2 === 1 : refused(2)),
    setRegister: (at, value, unit) => later(unit, at < 100 ? void written.set(`${unit} ${at}`, value) : refused(2)),
    setCoil: (at, value, unit) => later(unit, void written.set(`${unit} c${at}`, value)),
};

function obey(command) {
    if (command.do === "delay") delay = command.ms;
    else if (command.do === "hide") hidden.add(command.unit);
    else if (command.do === "show") hidden.delete(command.unit);
    else if (command.do === "asked") {
        const units = asked;
        asked = [];
        return { units };
    } else return { failed: true, error: "unknown command" };
    return { done: true };
}

function serve(server, port) {
    server.on("initialized", () => say({ ready: { port } }));
    for (const trouble of ["error", "serverError", "socketError"]) {
        server.on(trouble, err => process.stderr.write(`${err}\n`));
    }
}

if (kind === "rtu") {
    serve(new ModbusRTU.ServerSerial(vector, { port: device, baudRate: 9600, unitID: 255 }, {}), 0);
} else {
    const probe = net.createServer(); // it takes port 0 for 502
    probe.listen(0, "127.0.0.1", () => {
        const port = probe.address().port;
        probe.close(() => serve(new ModbusRTU.ServerTCP(vector, { host: "127.0.0.1", port, unitID: 255 }), port));
    });
}

const input = readline.createInterface({ input: process.stdin });
input.on("line", line => say(obey(JSON.parse(line))));
input.on("close", () => process.exit(0));
