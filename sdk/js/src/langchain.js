import { errorKind, textOf } from "./errors.js";
import { Handler } from "./handler.js";
import { ModelRun, Run, ToolRun } from "./runs.js";

/**
 * Settings besides those of a handler.
 * @typedef {object} CallbackSettings
 * @property {boolean} [nodeInputs]  publish what each node is given: the whole state, each time; false
 * @property {boolean} [nodeOutputs]  publish what each node changes; true
 * @property {boolean} [modelInputs]  publish the messages of each model call; false
 * @property {boolean} [streamModels]  let models stream that the agent only invokes, so that their tokens are seen live; false
 *
 * @typedef {import("./handler.js").HandlerOptions & CallbackSettings} CallbackOptions
 */

/**
 * What is remembered of a run of the framework.
 * @typedef {object} Entry
 * @property {Run | ModelRun | ToolRun} to
 * @property {boolean} graph  it is a graph, or lies in one
 */

/** So many runs that have ended are remembered at least, for what begins beneath them late. */
const MIN_ENDED = 256;

/** So many tasks of graphs are remembered, for when they are tried again. */
const MAX_TRIED = 256;

/** How LangGraph knows a handler that wants to hear of interrupts and resumes. */
const graphHandler = Symbol.for("langgraph.graph_callback_handler");

/** Tags of model calls whose tokens are not for users. */
const silent = new Set(["nostream", "langsmith:nostream"]);

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * A callback handler for LangChain.js and LangGraph.js:
 *
 *     const handler = new TidingsCallbackHandler(jobId, publisher);
 *     await graph.invoke(input, { callbacks: [handler], configurable: { thread_id: jobId } });
 *
 * It ends the job when its root run has ended and nothing is open; with
 * automatic: false, only `end` does. It imports nothing of LangChain: what makes a
 * handler there is its form.
 */
export class TidingsCallbackHandler {
  name = "tidings_callback_handler";
  /** Callbacks are awaited, so that their order holds. */
  awaitHandlers = true;
  raiseError = false;
  ignoreLLM = false;
  ignoreChain = false;
  ignoreAgent = false;
  ignoreRetriever = false;
  ignoreCustomEvent = false;
  lc_serializable = false;
  /** @type {["langchain_core", "callbacks", string]} */
  lc_namespace = ["langchain_core", "callbacks", this.name];
  /** @type {any} */
  lc_kwargs = {};
  /** @type {Map<string, Entry>} */
  #open = new Map();
  /** @type {Map<string, Entry>} */
  #ended = new Map();
  /** @type {Map<string, Entry>} */
  #endedBefore = new Map();
  /** Model calls whose tokens are not for users.
   * @type {Set<string>} */
  #silent = new Set();
  /** How often each task of a graph was tried.
   * @type {Map<string, number>} */
  #tried = new Map();
  /** How many of us tell a run, and the calls since.
   * @type {Map<string, {of: number, calls: number}>} */
  #copies = new Map();
  /** What broke off a run beneath a root.
   * @type {WeakMap<Run, unknown>} */
  #broken = new WeakMap();
  /** Hand-overs that were told; they climb as errors.
   * @type {WeakSet<object>} */
  #handed = new WeakSet();
  #tell;

  /**
   * @param {string} jobId
   * @param {import("./handler.js").Publisher | null | undefined} publisher  none: the job runs unobserved
   * @param {CallbackOptions} [options]
   */
  constructor(jobId, publisher, options = {}) {
    const { nodeInputs = false, nodeOutputs = true, modelInputs = false } = options;
    this.#tell = { nodeInputs, nodeOutputs, modelInputs };
    this.lc_prefer_streaming = options.streamModels === true;
    /** @type {any} */ (this)[graphHandler] = true;
    /** The job, for what no callback tells. */
    this.job = new Handler(jobId, publisher, { ...options, automatic: options.automatic ?? true });
  }

  get jobId() {
    return this.job.jobId;
  }

  /** Ends when the job is asked to stop. Pass it as `signal` to invoke or stream. */
  get signal() {
    return this.job.signal;
  }

  /**
   * Ends the job, if it does not end by itself.
   * @param {unknown} [output]
   * @param {unknown} [err]
   */
  end(output, err) {
    this.job.end(output, err);
  }

  /** Waits until everything is stored; false: it is not in that time.
   * @param {{timeoutMs?: number}} [options] */
  flush(options) {
    return this.job.flush(options);
  }

  /** Sends what is queued and releases the handler. It does not end the job.
   * @param {{timeoutMs?: number}} [options] */
  close(options) {
    return this.job.close(options);
  }

  /** The handler's counters. */
  stats() {
    return this.job.stats();
  }

  // --- what LangChain asks a handler for -------------------------------------

  /** @returns {any} */
  copy() {
    return this; // it has one job, whoever holds it
  }

  get lc_id() {
    return [...this.lc_namespace, "TidingsCallbackHandler"];
  }

  get lc_secrets() {
    return undefined;
  }

  get lc_attributes() {
    return undefined;
  }

  get lc_aliases() {
    return undefined;
  }

  get lc_serializable_keys() {
    return undefined;
  }

  /** @returns {any} */
  toJSON() {
    return this.toJSONNotImplemented();
  }

  /** @returns {any} */
  toJSONNotImplemented() {
    return { lc: 1, type: "not_implemented", id: this.lc_id };
  }

  // --- chains, graphs and nodes ----------------------------------------------

  /**
   * The types of @langchain/core declare these arguments in another order than it
   * passes them in: there the 4th is the run type and the 8th the parent. Both
   * are understood.
   * @param {any} chain
   * @param {any} inputs
   * @param {string} runId
   * @param {string} [parentRunId]
   * @param {string[]} [tags]
   * @param {Record<string, unknown>} [metadata]
   * @param {string} [runType]
   * @param {string} [runName]
   * @param {Record<string, unknown>} [extra]
   */
  handleChainStart(chain, inputs, runId, parentRunId, tags, metadata, runType, runName, extra) {
    void extra;
    this.job.guard("handleChainStart", () => {
      if (this.#again(runId)) return;
      let parent = parentRunId;
      let name = runName;
      if (!this.#isRunId(parentRunId)) {
        const declared = this.#isRunId(runName);
        parent = declared ? runName : undefined;
        if (declared || runName === undefined) name = declared || runType !== "chain" ? runType : undefined;
      }
      this.#chain(chain, inputs, runId, parent, tags ?? [], metadata ?? {}, name);
    });
  }

  /**
   * @param {any} chain
   * @param {any} inputs
   * @param {string} runId
   * @param {string | undefined} parentRunId
   * @param {string[]} tags
   * @param {Record<string, any>} metadata
   * @param {string | undefined} runName
   */
  #chain(chain, inputs, runId, parentRunId, tags, metadata, runName) {
    const parent = this.#parent(parentRunId);
    const step = tags.find((t) => t.startsWith("graph:step:"));
    const graph = isGraph(chain, metadata);
    const resume = parent || !graph ? undefined : resumeOf(inputs);
    const published = (!step || this.#tell.nodeInputs) && !resume;
    const run = this.job.phase({
      id: runId,
      name: runName ?? metadata.langgraph_node ?? chain?.name ?? lastOf(chain?.id),
      kind: step ? "node" : graph ? "graph" : "chain",
      ns: namespace(metadata),
      step: step ? Number(step.slice("graph:step:".length)) : undefined,
      attempt: step && parentRunId ? this.#attempt(`${parentRunId} ${metadata.langgraph_checkpoint_ns}`) : undefined,
      // Routers come without the hidden tag, and a subgraph as an extra run below
      // its node.
      hidden: tags.includes("langsmith:hidden") || (parent?.graph === true && !step),
      parent: parent?.to,
      input: published ? inputs : undefined,
      resumed: resume !== undefined,
      value: resume?.value,
    });
    this.#open.set(runId, { to: run, graph: graph || parent?.graph === true });
  }

  /**
   * Counts the tries of a task of a graph; undefined: it is the first.
   * @param {string} task
   */
  #attempt(task) {
    const tries = (this.#tried.get(task) ?? 0) + 1;
    this.#tried.delete(task);
    this.#tried.set(task, tries);
    if (this.#tried.size > MAX_TRIED) this.#tried.delete(/** @type {string} */ (this.#tried.keys().next().value));
    return tries > 1 ? tries : undefined;
  }

  /**
   * @param {any} outputs
   * @param {string} runId
   */
  handleChainEnd(outputs, runId) {
    const run = this.#close(runId)?.to;
    if (!(run instanceof Run)) return;
    if (run.isRoot || run.kind === "retriever" || (this.#tell.nodeOutputs && !run.hidden)) run.output(outputs);
    run.end();
  }

  /**
   * @param {any} err
   * @param {string} runId
   */
  handleChainError(err, runId) {
    const run = this.#close(runId)?.to;
    if (!(run instanceof Run)) return;
    if (this.#bubbles(run, err)) run.end();
    else run.end(this.#brokenBy(run, err) ?? new Error("the chain has failed"));
  }

  /**
   * What broke the run off. A graph that was aborted says no more than "Abort"; its
   * nodes have said whether that was a timeout, or somebody's wish.
   * @param {Run} run
   * @param {any} err
   */
  #brokenBy(run, err) {
    return this.job.guard("handleChainError", () => {
      let root = run;
      while (root.parent) root = root.parent;
      if (err instanceof Error && err.name === "Error" && err.message === "Abort") return this.#broken.get(root) ?? err;
      if (errorKind(err) === "aborted" || errorKind(err) === "timeout") this.#broken.set(root, err);
      return err;
    }) ?? err;
  }

  /**
   * Whether what was thrown is no error, and tells what it is: LangGraph throws its
   * signals.
   * @param {Run} run
   * @param {any} err
   */
  #bubbles(run, err) {
    return this.job.guard("handleChainError", () => {
      if (isInterrupt(err)) run.interrupt(interruptValue(err));
      else if (err?.name === "ParentCommand") this.#handOver(run, err);
      else return false;
      return true;
    });
  }

  /**
   * A node hands over to another of the graph around it: no failure. It is told
   * once, although it climbs.
   * @param {Run} run
   * @param {any} err
   */
  #handOver(run, err) {
    if (this.#handed.has(err)) return;
    this.#handed.add(err);
    const to = targets(err.command?.goto);
    if (to !== undefined) run.custom("handoff", { to });
  }

  // --- interrupts, by LangGraph's own callbacks ------------------------------

  /**
   * The root graph has paused; it ends next. Interrupts before or after a node are
   * told by this alone.
   * @param {any} event
   */
  handleInterrupt(event) {
    const run = this.#open.get(event?.runId)?.to;
    if (!(run instanceof Run) || run.waiting > 0) return;
    const asked = Array.isArray(event.interrupts) && event.interrupts.length > 0;
    run.interrupt(asked ? interruptValue(event) : { status: event.status });
  }

  /**
   * A graph goes on from a checkpoint.
   * @param {any} event
   */
  handleResume(event) {
    const run = this.#open.get(event?.runId)?.to;
    if (!(run instanceof Run) || !run.isRoot || run.resumed || run.hidden) return;
    run.resumed = true;
    this.job.guard("handleResume", () => this.job.emitData("phase_update", run.data("resumed")));
  }

  // --- models ----------------------------------------------------------------

  /**
   * @param {any} llm
   * @param {any} messages
   * @param {string} runId
   * @param {string} [parentRunId]
   * @param {Record<string, any>} [extraParams]
   * @param {string[]} [tags]
   * @param {Record<string, any>} [metadata]
   * @param {string} [runName]
   */
  handleChatModelStart(llm, messages, runId, parentRunId, extraParams, tags, metadata, runName) {
    this.job.guard("handleChatModelStart", () => {
      if (this.#again(runId)) return;
      const parent = this.#parent(parentRunId);
      const params = extraParams?.invocation_params ?? {};
      const input = Array.isArray(messages) && messages.length === 1 ? messages[0] : messages;
      const to = this.job.model({
        id: runId,
        name: runName ?? lastOf(llm?.id),
        model: metadata?.ls_model_name ?? params.model ?? params.model_name ?? llm?.kwargs?.model ?? lastOf(llm?.id),
        hidden: tags?.includes("langsmith:hidden"),
        parent: parent?.to,
        input: this.#tell.modelInputs ? input : undefined,
      });
      if (tags?.some((t) => silent.has(t))) this.#silent.add(runId);
      this.#open.set(runId, { to, graph: parent?.graph === true });
    });
  }

  /**
   * @param {any} llm
   * @param {string[]} prompts
   * @param {string} runId
   * @param {string} [parentRunId]
   * @param {Record<string, any>} [extraParams]
   * @param {string[]} [tags]
   * @param {Record<string, any>} [metadata]
   * @param {string} [runName]
   */
  handleLLMStart(llm, prompts, runId, parentRunId, extraParams, tags, metadata, runName) {
    this.handleChatModelStart(llm, prompts, runId, parentRunId, extraParams, tags, metadata, runName);
  }

  /**
   * @param {string} token
   * @param {any} _indices
   * @param {string} runId
   * @param {string} [_parentRunId]
   * @param {string[]} [_tags]
   * @param {any} [fields]
   */
  handleLLMNewToken(token, _indices, runId, _parentRunId, _tags, fields) {
    const m = this.#model(runId);
    if (!m || this.#silent.has(runId) || !this.#first(runId)) return;
    const message = fields?.chunk?.message;
    if (message) this.job.guard("handleLLMNewToken", () => sideDeltas(m, message));
    m.delta(token);
  }

  /**
   * Where models stream in the newer form, pieces come by this callback alone.
   * @param {any} event
   * @param {string} runId
   */
  handleChatModelStreamEvent(event, runId) {
    const m = this.#model(runId);
    const delta = event?.event === "content-block-delta" ? event.delta : undefined;
    if (!m || !delta || this.#silent.has(runId) || !this.#first(runId)) return;
    if (delta.type === "text-delta") m.delta(delta.text);
    else if (delta.type === "reasoning-delta") m.delta(delta.reasoning, "reasoning");
  }

  /**
   * @param {any} output
   * @param {string} runId
   */
  handleLLMEnd(output, runId) {
    const m = this.#model(runId);
    this.#close(runId);
    if (!m) return;
    this.job.guard("handleLLMEnd", () => describeAnswer(m, output));
    m.end(this.job.guard("handleLLMEnd", () => answerText(output)));
  }

  /**
   * @param {any} err
   * @param {string} runId
   */
  handleLLMError(err, runId) {
    const m = this.#model(runId);
    this.#close(runId);
    m?.end(undefined, err ?? new Error("the model has failed"));
  }

  // --- tools -----------------------------------------------------------------

  /**
   * @param {any} tool
   * @param {string} input
   * @param {string} runId
   * @param {string} [parentRunId]
   * @param {string[]} [tags]
   * @param {Record<string, any>} [_metadata]
   * @param {string} [runName]
   * @param {string} [toolCallId]
   */
  handleToolStart(tool, input, runId, parentRunId, tags, _metadata, runName, toolCallId) {
    this.job.guard("handleToolStart", () => {
      if (this.#again(runId)) return;
      const parent = this.#parent(parentRunId);
      const to = this.job.toolStart({
        id: runId,
        tool: runName ?? tool?.name ?? tool?.kwargs?.name ?? lastOf(tool?.id),
        callId: toolCallId,
        hidden: tags?.includes("langsmith:hidden"),
        parent: parent?.to,
        input: structured(input),
      });
      this.#open.set(runId, { to, graph: parent?.graph === true });
    });
  }

  /**
   * What a tool streams while it runs.
   * @param {any} chunk
   * @param {string} runId
   */
  handleToolEvent(chunk, runId) {
    const t = this.#open.get(runId)?.to;
    if (t instanceof ToolRun && this.#first(runId)) this.job.custom("tool_event", chunk, t);
  }

  /**
   * @param {any} output
   * @param {string} runId
   */
  handleToolEnd(output, runId) {
    const t = this.#close(runId)?.to;
    if (!(t instanceof ToolRun)) return;
    const message = this.job.guard("handleToolEnd", () => toolMessage(output, t.callId));
    if (message?.status === "error") t.end(undefined, new Error(textOf(message.content)));
    else t.end(message ? message.content : output);
  }

  /**
   * @param {any} err
   * @param {string} runId
   */
  handleToolError(err, runId) {
    const t = this.#close(runId)?.to;
    if (!(t instanceof ToolRun)) return;
    if (this.#bubbles(t.run, err)) t.end();
    else t.end(undefined, err ?? new Error("the tool has failed"));
  }

  // --- retrievers ------------------------------------------------------------

  /**
   * @param {any} retriever
   * @param {string} query
   * @param {string} runId
   * @param {string} [parentRunId]
   * @param {string[]} [tags]
   * @param {Record<string, any>} [_metadata]
   * @param {string} [name]
   */
  handleRetrieverStart(retriever, query, runId, parentRunId, tags, _metadata, name) {
    this.job.guard("handleRetrieverStart", () => {
      if (this.#again(runId)) return;
      const parent = this.#parent(parentRunId);
      const run = this.job.phase({
        id: runId,
        name: name ?? retriever?.name ?? lastOf(retriever?.id),
        kind: "retriever",
        hidden: tags?.includes("langsmith:hidden"),
        parent: parent?.to,
        input: query,
        leaf: true,
      });
      this.#open.set(runId, { to: run, graph: parent?.graph === true });
    });
  }

  /**
   * @param {any} documents
   * @param {string} runId
   */
  handleRetrieverEnd(documents, runId) {
    this.handleChainEnd(documents, runId);
  }

  /**
   * @param {any} err
   * @param {string} runId
   */
  handleRetrieverError(err, runId) {
    this.handleChainError(err, runId);
  }

  // --- anything --------------------------------------------------------------

  /**
   * @param {string} eventName
   * @param {any} data
   * @param {string} runId
   */
  handleCustomEvent(eventName, data, runId) {
    if (this.#first(runId)) this.job.custom(eventName, data, this.#parent(runId)?.to);
  }

  // --- the runs of the framework ---------------------------------------------

  /** @param {unknown} id */
  #isRunId(id) {
    return typeof id === "string" && (this.#parent(id) !== undefined || uuid.test(id));
  }

  /**
   * A run that is open, or has ended lately. One that is not known lies outside of
   * what this handler sees.
   * @param {string | undefined} id
   */
  #parent(id) {
    return id === undefined ? undefined : (this.#open.get(id) ?? this.#ended.get(id) ?? this.#endedBefore.get(id));
  }

  /**
   * Whether the beginning of a run was told before: a handler that is given to a
   * graph and to its call is called twice.
   * @param {string} runId
   */
  #again(runId) {
    if (!this.#open.has(runId)) return false;
    const copies = this.#copies.get(runId) ?? { of: 1, calls: 0 };
    copies.of++;
    this.#copies.set(runId, copies);
    return true;
  }

  /**
   * Whether this call, of as many as there are copies of us, is the one that counts.
   * @param {string} runId
   */
  #first(runId) {
    const copies = this.#copies.get(runId);
    return !copies || copies.calls++ % copies.of === 0;
  }

  /** @param {string} runId */
  #model(runId) {
    const to = this.#open.get(runId)?.to;
    return to instanceof ModelRun ? to : undefined;
  }

  /** @param {string} runId */
  #close(runId) {
    const entry = this.#open.get(runId);
    if (!entry) return undefined;
    this.#open.delete(runId);
    this.#silent.delete(runId);
    this.#copies.delete(runId);
    if (entry.to instanceof ModelRun) return entry; // nothing begins beneath one
    if (this.#ended.size === MIN_ENDED) {
      this.#endedBefore = this.#ended;
      this.#ended = new Map();
    }
    this.#ended.set(runId, entry);
    return entry;
  }
}

/**
 * Whether a run is that of a graph.
 * @param {any} serialized
 * @param {Record<string, any>} metadata
 */
function isGraph(serialized, metadata) {
  return serialized?.id?.[0] === "langgraph" || (metadata.ls_integration === "langgraph" && metadata.langgraph_node === undefined);
}

/**
 * The path of nested graphs, of a namespace such as "outer:<uuid>|inner:<uuid>".
 * @param {Record<string, any>} metadata
 */
function namespace(metadata) {
  const ns = metadata.langgraph_checkpoint_ns ?? metadata.checkpoint_ns;
  if (typeof ns !== "string" || ns === "") return undefined;
  return ns.split("|").map((part) => part.split(":")[0]);
}

/** @param {unknown} id */
function lastOf(id) {
  return Array.isArray(id) && typeof id.at(-1) === "string" ? id.at(-1) : undefined;
}

/**
 * The answer with which a graph is resumed, if its input is one.
 * @param {any} inputs
 */
function resumeOf(inputs) {
  if (inputs === null || inputs === undefined || isNull(inputs)) return { value: undefined };
  return inputs.lg_name === "Command" && inputs.resume !== undefined ? { value: inputs.resume } : undefined;
}

/**
 * Whether LangChain has made an object of what was null.
 * @param {any} inputs
 */
function isNull(inputs) {
  return "input" in inputs && (inputs.input === null || inputs.input === undefined) && Object.keys(inputs).length === 1;
}

/** @param {any} err */
function isInterrupt(err) {
  const name = err?.name;
  return name === "GraphInterrupt" || name === "NodeInterrupt" || name === "GraphDrained";
}

/**
 * What is asked for: one value, or a list of several.
 * @param {any} err
 */
function interruptValue(err) {
  const values = Array.isArray(err?.interrupts) ? err.interrupts.map((/** @type {any} */ i) => i?.value) : [];
  return values.length > 1 ? values : values[0];
}

/**
 * The nodes that a command goes to: one name, a list of several, or undefined.
 * @param {any} goto
 */
function targets(goto) {
  const names = (Array.isArray(goto) ? goto : [goto]).map((to) => to?.node ?? to).filter((to) => typeof to === "string" && to !== "");
  return names.length > 1 ? names : names[0];
}

/**
 * The message for the model of what a tool returned: itself, or in the update of
 * a Command.
 * @param {any} output
 * @param {string} callId
 */
function toolMessage(output, callId) {
  if (isToolMessage(output)) return output;
  const messages = output?.lg_name === "Command" ? output.update?.messages : undefined;
  return Array.isArray(messages) ? messages.find((m) => isToolMessage(m) && m.tool_call_id === callId) : undefined;
}

/** @param {any} output */
function isToolMessage(output) {
  return typeof output?._getType === "function" && output._getType() === "tool";
}

/**
 * The input of a tool, which comes as the text of its JSON.
 * @param {unknown} input
 */
function structured(input) {
  if (typeof input !== "string" || !/^\s*[[{]/.test(input)) return input;
  try {
    return JSON.parse(input);
  } catch {
    return input;
  }
}

/**
 * Publishes what a piece holds besides text: what the model thinks on the way,
 * and why it refuses, in the forms of several providers.
 * @param {ModelRun} m
 * @param {any} message
 */
function sideDeltas(m, message) {
  const kwargs = message.additional_kwargs;
  m.delta(kwargs?.reasoning_content, "reasoning");
  m.delta(kwargs?.refusal, "refusal");
  if (!Array.isArray(message.content)) return;
  for (const block of message.content) {
    if (block?.type === "thinking") m.delta(block.thinking, "reasoning");
    else if (block?.type === "reasoning") m.delta(block.reasoning ?? block.text, "reasoning");
    else if (block?.type === "refusal") m.delta(block.refusal, "refusal");
  }
}

/** @param {any} output */
function answerText(output) {
  const answer = output?.generations?.[0]?.[0];
  const text = answer?.text || answer?.message?.text;
  return typeof text === "string" ? text : "";
}

/**
 * @param {ModelRun} m
 * @param {any} output
 */
function describeAnswer(m, output) {
  const answer = output?.generations?.[0]?.[0];
  const message = answer?.message;
  if (Array.isArray(message?.tool_calls)) for (const call of message.tool_calls) m.toolCall(call?.id ?? "", call?.name ?? "", call?.args);
  const about = message?.response_metadata;
  const info = answer?.generationInfo;
  m.finishReason(about?.finish_reason ?? about?.stop_reason ?? about?.finishReason ?? info?.finish_reason ?? info?.stop_reason ?? info?.finishReason);
  const { tokenUsage, usage: counts } = output?.llmOutput ?? {};
  const usage = usageOf(message?.usage_metadata, tokenUsage ?? about?.tokenUsage ?? counts ?? about?.usage);
  if (usage) m.usage(usage);
}

/**
 * @param {any} metadata  as LangChain counts
 * @param {any} other  as providers do
 */
function usageOf(metadata, other) {
  if (metadata) {
    return {
      input_tokens: metadata.input_tokens,
      output_tokens: metadata.output_tokens,
      cached_input_tokens: metadata.input_token_details?.cache_read,
      cache_write_tokens: metadata.input_token_details?.cache_creation,
      reasoning_tokens: metadata.output_token_details?.reasoning,
    };
  }
  const input = other?.promptTokens ?? other?.prompt_tokens ?? other?.input_tokens;
  const output = other?.completionTokens ?? other?.completion_tokens ?? other?.output_tokens;
  return input === undefined && output === undefined ? undefined : { input_tokens: input, output_tokens: output };
}

