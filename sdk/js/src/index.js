/**
 * Tidings for JavaScript: tell the story of a job while it happens, and watch it.
 * @module
 */

export { RawJSON } from "./encode.js";
export { CancelRequestedError, ServerError } from "./errors.js";
export { cancel, follow } from "./follow.js";
export { Handler, start } from "./handler.js";
export { TidingsCallbackHandler } from "./langchain.js";
export { HTTPPublisher } from "./publisher.js";
export { ModelRun, Run, ToolRun } from "./runs.js";
export { EVENT_TYPES, watch } from "./watch.js";

/**
 * @typedef {import("./follow.js").Control} Control
 * @typedef {import("./follow.js").FollowOptions} FollowOptions
 * @typedef {import("./follow.js").JobEvent} JobEvent
 * @typedef {import("./handler.js").HandlerOptions} HandlerOptions
 * @typedef {import("./handler.js").Publisher} Publisher
 * @typedef {import("./langchain.js").CallbackOptions} CallbackOptions
 * @typedef {import("./outbox.js").Stats} Stats
 * @typedef {import("./publisher.js").PublisherOptions} PublisherOptions
 * @typedef {import("./runs.js").ModelInfo} ModelInfo
 * @typedef {import("./runs.js").RunInfo} RunInfo
 * @typedef {import("./runs.js").ToolInfo} ToolInfo
 * @typedef {import("./runs.js").Usage} Usage
 * @typedef {import("./watch.js").WatchOptions} WatchOptions
 */
