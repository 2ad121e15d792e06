export type ServerOptions = {
    /**
     * API key or JWT, or what gives one, asked each time
     */
    token?: string | (() => string | Promise<string>);
    /**
     * sent with every request
     */
    headers?: Record<string, string>;
    /**
     * used instead of the global one
     */
    fetch?: typeof globalThis.fetch;
};
/**
 * How to speak to a server.
 * @typedef {object} ServerOptions
 * @property {string | (() => string | Promise<string>)} [token]  API key or JWT, or what gives one, asked each time
 * @property {Record<string, string>} [headers]  sent with every request
 * @property {typeof globalThis.fetch} [fetch]  used instead of the global one
 */
/** The HTTP API of one server. */
export declare class Server {
    url: string;
    token: string | (() => string | Promise<string>) | undefined;
    headers: Record<string, string> | undefined;
    fetch: typeof fetch;
    /**
     * @param {string | URL} url
     * @param {ServerOptions} [options]
     */
    constructor(url: string | URL, options?: ServerOptions);
    /**
     * Sends a request. Every answer but a success is an error.
     * @param {string} method
     * @param {string} path
     * @param {{body?: string, headers?: Record<string, string>, signal?: AbortSignal | null, query?: Record<string, string>}} [init]
     */
    request(method: string, path: string, init?: {
        body?: string;
        headers?: Record<string, string>;
        signal?: AbortSignal | null;
        query?: Record<string, string>;
    }): Promise<Response>;
    /**
     * Sends a request and reads the answer as JSON.
     * @param {string} method
     * @param {string} path
     * @param {Parameters<Server["request"]>[2]} [init]
     * @returns {Promise<any>}
     */
    json(method: string, path: string, init?: Parameters<Server["request"]>[2]): Promise<any>;
}
/**
 * The path of what belongs to a job.
 * @param {string} jobId
 * @param {string} [rest]  such as "/events"
 */
export declare function jobPath(jobId: string, rest?: string): string;
/**
 * Says why the job ID can't be one; "" if it can.
 * @param {unknown} jobId
 */
export declare function badJobId(jobId: unknown): string;
