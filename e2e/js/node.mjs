// node node.mjs URL TYPE…: watches with npm's eventsource, prints what it saw.
import { EventSource } from "eventsource";
import { watch } from "./watch.mjs";

const [url, ...types] = process.argv.slice(2);
console.log(JSON.stringify(await watch(EventSource, url, types)));
