import { Handler } from "./handler.js";
import { ModelRun, Run, ToolRun } from "./runs.js";
export type CallbackSettings = {
    /**
     * publish what each node is given: the whole state, each time; false
     */
    nodeInputs?: boolean;
    /**
     * publish what each node changes; true
     */
    nodeOutputs?: boolean;
    /**
     * publish the messages of each model call; false
     */
    modelInputs?: boolean;
    /**
     * let models stream that the agent only invokes, so that their tokens are seen live; false
     */
    streamModels?: boolean;
};
export type CallbackOptions = import("./handler.js").HandlerOptions & CallbackSettings;
export type Entry = {
    to: Run | ModelRun | ToolRun;
    /**
     * it is a graph, or lies in one
     */
    graph: boolean;
};
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
export declare class TidingsCallbackHandler {
    #private;
    lc_prefer_streaming: boolean;
    /** The job, for what no callback tells. */
    job: Handler;
    name: string;
    /** Callbacks are awaited, so that their order holds. */
    awaitHandlers: boolean;
    raiseError: boolean;
    ignoreLLM: boolean;
    ignoreChain: boolean;
    ignoreAgent: boolean;
    ignoreRetriever: boolean;
    ignoreCustomEvent: boolean;
    lc_serializable: boolean;
    /** @type {["langchain_core", "callbacks", string]} */
    lc_namespace: ["langchain_core", "callbacks", string];
    /** @type {any} */
    lc_kwargs: any;
    /**
     * @param {string} jobId
     * @param {import("./handler.js").Publisher | null | undefined} publisher  none: the job runs unobserved
     * @param {CallbackOptions} [options]
     */
    constructor(jobId: string, publisher: import("./handler.js").Publisher | null | undefined, options?: CallbackOptions);
    get jobId(): string;
    /** Ends when the job is asked to stop. Pass it as `signal` to invoke or stream. */
    get signal(): AbortSignal;
    /**
     * Ends the job, if it does not end by itself.
     * @param {unknown} [output]
     * @param {unknown} [err]
     */
    end(output?: unknown, err?: unknown): void;
    /** Waits until everything is stored; false: it is not in that time.
     * @param {{timeoutMs?: number}} [options] */
    flush(options?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /** Sends what is queued and releases the handler. It does not end the job.
     * @param {{timeoutMs?: number}} [options] */
    close(options?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /** The handler's counters. */
    stats(): import("./outbox.js").Stats;
    /** @returns {any} */
    copy(): any;
    get lc_id(): string[];
    get lc_secrets(): undefined;
    get lc_attributes(): undefined;
    get lc_aliases(): undefined;
    get lc_serializable_keys(): undefined;
    /** @returns {any} */
    toJSON(): any;
    /** @returns {any} */
    toJSONNotImplemented(): any;
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
    handleChainStart(chain: any, inputs: any, runId: string, parentRunId?: string, tags?: string[], metadata?: Record<string, unknown>, runType?: string, runName?: string, extra?: Record<string, unknown>): void;
    /**
     * @param {any} outputs
     * @param {string} runId
     */
    handleChainEnd(outputs: any, runId: string): void;
    /**
     * @param {any} err
     * @param {string} runId
     */
    handleChainError(err: any, runId: string): void;
    /**
     * The root graph has paused; it ends next. Interrupts before or after a node are
     * told by this alone.
     * @param {any} event
     */
    handleInterrupt(event: any): void;
    /**
     * A graph goes on from a checkpoint.
     * @param {any} event
     */
    handleResume(event: any): void;
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
    handleChatModelStart(llm: any, messages: any, runId: string, parentRunId?: string, extraParams?: Record<string, any>, tags?: string[], metadata?: Record<string, any>, runName?: string): void;
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
    handleLLMStart(llm: any, prompts: string[], runId: string, parentRunId?: string, extraParams?: Record<string, any>, tags?: string[], metadata?: Record<string, any>, runName?: string): void;
    /**
     * @param {string} token
     * @param {any} _indices
     * @param {string} runId
     * @param {string} [_parentRunId]
     * @param {string[]} [_tags]
     * @param {any} [fields]
     */
    handleLLMNewToken(token: string, _indices: any, runId: string, _parentRunId?: string, _tags?: string[], fields?: any): void;
    /**
     * Where models stream in the newer form, pieces come by this callback alone.
     * @param {any} event
     * @param {string} runId
     */
    handleChatModelStreamEvent(event: any, runId: string): void;
    /**
     * @param {any} output
     * @param {string} runId
     */
    handleLLMEnd(output: any, runId: string): void;
    /**
     * @param {any} err
     * @param {string} runId
     */
    handleLLMError(err: any, runId: string): void;
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
    handleToolStart(tool: any, input: string, runId: string, parentRunId?: string, tags?: string[], _metadata?: Record<string, any>, runName?: string, toolCallId?: string): void;
    /**
     * What a tool streams while it runs.
     * @param {any} chunk
     * @param {string} runId
     */
    handleToolEvent(chunk: any, runId: string): void;
    /**
     * @param {any} output
     * @param {string} runId
     */
    handleToolEnd(output: any, runId: string): void;
    /**
     * @param {any} err
     * @param {string} runId
     */
    handleToolError(err: any, runId: string): void;
    /**
     * @param {any} retriever
     * @param {string} query
     * @param {string} runId
     * @param {string} [parentRunId]
     * @param {string[]} [tags]
     * @param {Record<string, any>} [_metadata]
     * @param {string} [name]
     */
    handleRetrieverStart(retriever: any, query: string, runId: string, parentRunId?: string, tags?: string[], _metadata?: Record<string, any>, name?: string): void;
    /**
     * @param {any} documents
     * @param {string} runId
     */
    handleRetrieverEnd(documents: any, runId: string): void;
    /**
     * @param {any} err
     * @param {string} runId
     */
    handleRetrieverError(err: any, runId: string): void;
    /**
     * @param {string} eventName
     * @param {any} data
     * @param {string} runId
     */
    handleCustomEvent(eventName: string, data: any, runId: string): void;
}
