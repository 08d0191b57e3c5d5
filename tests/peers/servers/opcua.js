// Two OPC UA servers by node-opcua, in one process: `kitchen`, as ConnectedCooking's (secured, user name or user
// certificate, OPC 30200 devices), and `plain`, a machine that knows nothing of all that (no security, anonymous).
//
// Usage: node opcua.js <folder>. Says one line of JSON when both listen; takes commands, one line of JSON each, on stdin,
// and answers each with one line. Ends when stdin ends.
"use strict";
const path = require("node:path");
const fs = require("node:fs");
const net = require("node:net");
const readline = require("node:readline");
const modules = path.join(process.env.PEERS || path.join(process.cwd(), ".peers"), "node_modules");
const opcua = require(path.join(modules, "node-opcua"));

const folder = process.argv[2];
const { DataType, StatusCodes, MessageSecurityMode, SecurityPolicy } = opcua;
const OWN = "http://connectedcooking.com/OPCUA/";
const CELSIUS = { namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: 4408652, displayName: "°C", description: "degree Celsius" };
const FAHRENHEIT = { ...CELSIUS, unitId: 4604232, displayName: "°F", description: "degree Fahrenheit" };
const PERCENT = { ...CELSIUS, unitId: 20529, displayName: "%", description: "percent" };

const servers = {}; // name -> {server, port, nodes}
const stamps = {}; // browse name -> fixed source timestamp

function manager(name) {
    return new opcua.OPCUACertificateManager({ rootFolder: path.join(folder, name), automaticallyAcceptUnknownCertificate: false });
}

async function start(name, port) {
    const kitchen = name === "kitchen";
    const certificates = manager(name);
    const users = manager(`${name}-users`);
    await certificates.initialize();
    await users.initialize();
    const server = new opcua.OPCUAServer({
        port,
        hostname: "localhost",
        resourcePath: "/OPCUA/ConnectedCooking",
        serverCertificateManager: certificates,
        userCertificateManager: users,
        certificateFile: path.join(folder, name, fs.existsSync(path.join(folder, name, "generation")) ? "second.pem" : "first.pem"),
        serverInfo: { applicationName: { text: name }, applicationUri: `urn:peer:${name}` },
        buildInfo: { productName: "Peer", manufacturerName: "Nobody here", softwareVersion: "1.0" },
        nodeset_filename: kitchen
            ? [opcua.nodesets.standard, opcua.nodesets.di, opcua.nodesets.commercialKitchenEquipment]
            : [opcua.nodesets.standard],
        securityPolicies: kitchen
            ? [SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss]
            : [SecurityPolicy.None],
        securityModes: kitchen ? [MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt] : [MessageSecurityMode.None],
        allowAnonymous: !kitchen,
        maxConnectionsPerEndpoint: 50,
        serverCapabilities: { maxSessions: kitchen ? 20 : 3, operationLimits: { maxNodesPerRead: kitchen ? 20 : 1000, maxNodesPerBrowse: 50 } },
        userManager: { isValidUser: (user, password) => user === "baker" && password === "rye & salt" },
    });
    await server.initialize();
    const nodes = (kitchen ? buildKitchen : buildPlain)(server.engine.addressSpace);
    await server.start();
    servers[name] = { server, port, nodes };
}

function analog(own, parent, browseName, value, unit, range, dataType, nodeId) {
    const node = own.addAnalogDataItem({
        componentOf: parent,
        browseName,
        nodeId,
        dataType: dataType || "Float",
        definition: "",
        valuePrecision: 0.1,
        engineeringUnitsRange: { low: range[0], high: range[1] },
        engineeringUnits: unit,
        minimumSamplingInterval: 100,
        value: { dataType: DataType[dataType || "Float"], value },
    });
    node.accessLevel = opcua.makeAccessLevelFlag("CurrentRead | CurrentWrite");
    node.userAccessLevel = node.accessLevel;
    return node;
}

function buildKitchen(space) {
    const cke = space.getNamespaceIndex("http://opcfoundation.org/UA/CommercialKitchenEquipment/");
    const di = space.getNamespaceIndex("http://opcfoundation.org/UA/DI/");
    const own = space.registerNamespace(OWN);
    const nodes = {};
    const deviceSet = space.findNode(`ns=${di};i=5001`);
    const name = (text) => ({ namespaceIndex: cke, name: text });
    const at = (text) => `ns=${own.index};s=${text}`;
    const put = (node, dataType, value) => node && node.setValueFromSource({ dataType, value });

    // A combi steamer. Its chamber counts from 0, as Rational's example does.
    const combiType = space.findObjectType("CombiSteamerDeviceType", cke);
    const combi = combiType.instantiate({
        browseName: { namespaceIndex: own.index, name: "CombiSteamerDevice_9002" },
        nodeId: at("CombiSteamerDevice_9002"),
        namespace: own,
        componentOf: deviceSet,
        optionals: ["CombiSteamer.ActualHumidity", "CombiSteamer.ProgramName", "CombiSteamer.SetHumidity"],
    });
    const steamer = combi.getComponentByName("CombiSteamer", cke);
    const child = (parent, text) => parent.getComponentByName(text, cke) || parent.getPropertyByName(text, cke);
    put(child(steamer, "CombiSteamerMode"), DataType.Int32, 6);
    put(child(steamer, "SetTemperature"), DataType.Float, 180);
    put(child(steamer, "SetProcessTimeProgram"), DataType.Int32, 3600);
    put(child(steamer, "TimeRemainingProgram"), DataType.Int32, 1530);
    put(child(steamer, "IsDoorOpen"), DataType.Boolean, false);
    put(child(steamer, "ActualHumidity"), DataType.Int32, 62);
    put(child(steamer, "SetHumidity"), DataType.Int32, 65);
    put(child(steamer, "ProgramName"), DataType.LocalizedText, { locale: "en", text: "Baguette" });
    nodes.chamber = analog(own, steamer, name("ActualTemperatureChamber_0"), 181.3, CELSIUS, [0, 400], "Float", at("CombiSteamerDevice_9002/CombiSteamer/ActualTemperatureChamber_0"));
    nodes.core = analog(own, steamer, name("ActualInternalCoreTemperature_1"), 154.4, FAHRENHEIT, [0, 572], "Float", at("CombiSteamerDevice_9002/CombiSteamer/ActualInternalCoreTemperature_1"));
    nodes.setpoint = child(steamer, "SetTemperature");

    // A deck oven with two decks.
    const ovenType = space.findObjectType("OvenDeviceType", cke);
    const chamberType = space.findObjectType("ChamberType", cke);
    const oven = ovenType.instantiate({
        browseName: { namespaceIndex: own.index, name: "DeckOven_1" },
        nodeId: at("DeckOven_1"),
        namespace: own,
        componentOf: deviceSet,
    });
    for (const deck of [1, 2]) {
        const chamber = chamberType.instantiate({
            browseName: name(`Chamber_${deck}`),
            nodeId: at(`DeckOven_1/Chamber_${deck}`),
            namespace: own,
            componentOf: oven,
            optionals: ["IsDoorOpen", "TimeRemaining"],
        });
        put(child(chamber, "OperationMode"), DataType.Int32, 17);
        put(child(chamber, "IsDoorOpen"), DataType.Boolean, deck === 2);
        put(child(chamber, "TimeRemaining"), DataType.Int32, 600 * deck);
        analog(own, chamber, name("ActualChamberTemperature_1"), 220 + deck, CELSIUS, [0, 350]);
        analog(own, chamber, name("SetChamberTemperature_1"), 230, CELSIUS, [0, 350]);
        analog(own, chamber, name("ActualTopTemperature_1"), 240 + deck, CELSIUS, [0, 350]);
    }
    return nodes;
}

function buildPlain(space) {
    const own = space.registerNamespace("http://peer.example/machine/");
    const nodes = {};
    const machine = own.addObject({ organizedBy: space.rootFolder.objects, browseName: "Machine", nodeId: `ns=${own.index};s=Machine` });
    const add = (browseName, dataType, value, extra) => {
        const node = own.addVariable({
            componentOf: machine, browseName, dataType, nodeId: `ns=${own.index};s=Machine.${browseName}`,
            minimumSamplingInterval: 100, ...extra,
        });
        node.setValueFromSource({ dataType: DataType[dataType], arrayType: opcua.VariantArrayType.Scalar, value });
        nodes[browseName] = node;
        return node;
    };
    nodes.Temperature = analog(own, machine, "Temperature", 181.3, CELSIUS, [0, 400], "Float", `ns=${own.index};s=Machine.Temperature`);
    nodes.Fahrenheit = analog(own, machine, "Fahrenheit", 356, FAHRENHEIT, [0, 800], "Double", `ns=${own.index};s=Machine.Fahrenheit`);
    nodes.Humidity = analog(own, machine, "Humidity", 62, PERCENT, [0, 100], "UInt16", `ns=${own.index};s=Machine.Humidity`);
    add("Door", "Boolean", true);
    add("Program", "String", "Brezel");
    add("State", "Int32", 3);
    add("Energy", "Int64", [0, 123456]);
    add("Since", "DateTime", new Date(Date.UTC(2026, 10, 21, 9, 0, 0)));
    add("Recipe", "LocalizedText", { locale: "de", text: "Roggenbrot" });
    add("Blob", "ByteString", Buffer.from([1, 2, 3]));
    add("Setpoint", "Float", 180, { accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite" });
    add("Locked", "Float", 1, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
    add("Broken", "Float", 0).setValueFromSource({ dataType: DataType.Float, value: 0 }, StatusCodes.BadSensorFailure);
    add("Doubtful", "Float", 0).setValueFromSource({ dataType: DataType.Float, value: 77.5 }, StatusCodes.UncertainSensorNotAccurate);
    add("List", "Float", 0, { valueRank: 1, arrayDimensions: [2] }).setValueFromSource({ dataType: DataType.Float, arrayType: opcua.VariantArrayType.Array, value: new Float32Array([1, 2]) });
    own.addVariable({ componentOf: machine, browseName: "Guid", dataType: "Float", nodeId: `ns=${own.index};g=72962B91-FA75-4AE6-8D28-B404DC7DAF63` }).setValueFromSource({ dataType: DataType.Float, value: 7 });
    own.addVariable({ componentOf: machine, browseName: "Opaque", dataType: "Float", nodeId: `ns=${own.index};b=M/RbKBsRVkePCePcx24oRA==` }).setValueFromSource({ dataType: DataType.Float, value: 8 });
    own.addVariable({ componentOf: machine, browseName: "Number", dataType: "Float", nodeId: `ns=${own.index};i=4711` }).setValueFromSource({ dataType: DataType.Float, value: 9 });
    return nodes;
}

const commands = {
    // Everything the server saw from clients it does not know is trusted from now on: what a person does with a
    // certificate in the folder of rejected ones.
    async trust({ server, users }) {
        const root = path.join(folder, users ? `${server}-users` : server);
        const rejected = path.join(root, "rejected");
        const moved = fs.readdirSync(rejected);
        for (const file of moved) fs.renameSync(path.join(rejected, file), path.join(root, "trusted", "certs", file));
        const store = users ? servers[server].server.userCertificateManager : servers[server].server.serverCertificateManager;
        await store.reloadCertificates();
        return { moved: moved.length };
    },
    async trusted({ server, users, der }) {
        const store = users ? servers[server].server.userCertificateManager : servers[server].server.serverCertificateManager;
        await store.trustCertificate(Buffer.from(der, "base64"));
        return {};
    },
    async distrust({ server }) {
        const trusted = path.join(folder, server, "trusted", "certs");
        for (const file of fs.readdirSync(trusted)) fs.unlinkSync(path.join(trusted, file));
        await servers[server].server.serverCertificateManager.reloadCertificates();
        return {};
    },
    async restart({ server, certificate }) {
        const { server: old, port } = servers[server];
        await old.shutdown(1);
        const mark = path.join(folder, server, "generation");
        if (certificate === "second") fs.writeFileSync(mark, "");
        if (certificate === "first") fs.rmSync(mark, { force: true });
        await start(server, port);
        return {};
    },
    async stop({ server }) {
        await servers[server].server.shutdown(1);
        return {};
    },
    async start({ server }) {
        await start(server, servers[server].port);
        return {};
    },
    async set({ server, node, type, value, status }) {
        servers[server].nodes[node].setValueFromSource({ dataType: DataType[type], value }, StatusCodes[status || "Good"]);
        return {};
    },
    async sessions({ server }) {
        const engine = servers[server].server.engine;
        return { current: engine.currentSessionCount, total: engine.cumulatedSessionCount };
    },
};

function freePort() {
    return new Promise((resolve, reject) => {
        const probe = net.createServer();
        probe.on("error", reject);
        probe.listen(0, "127.0.0.1", () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}

async function main() {
    await start("kitchen", await freePort());
    await start("plain", await freePort());
    const ports = Object.fromEntries(Object.entries(servers).map(([name, { port }]) => [name, port]));
    console.log(JSON.stringify({ ready: ports }));
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const command = JSON.parse(line);
        try {
            console.log(JSON.stringify({ done: command.do, ...(await commands[command.do](command)) }));
        } catch (error) {
            console.log(JSON.stringify({ failed: command.do, error: String(error && error.stack) }));
        }
    }
    process.exit(0);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
