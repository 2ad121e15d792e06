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
export type Control = import("./follow.js").Control;
export type FollowOptions = import("./follow.js").FollowOptions;
export type JobEvent = import("./follow.js").JobEvent;
export type HandlerOptions = import("./handler.js").HandlerOptions;
export type Publisher = import("./handler.js").Publisher;
export type CallbackOptions = import("./langchain.js").CallbackOptions;
export type Stats = import("./outbox.js").Stats;
export type PublisherOptions = import("./publisher.js").PublisherOptions;
export type ModelInfo = import("./runs.js").ModelInfo;
export type RunInfo = import("./runs.js").RunInfo;
export type ToolInfo = import("./runs.js").ToolInfo;
export type Usage = import("./runs.js").Usage;
export type WatchOptions = import("./watch.js").WatchOptions;
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
