export type Run = import("./runs.js").Run;
/**
 * What a handler remembers of the runs of its job.
 */
export declare class Tree {
    open: number;
    roots: number;
    suspended: boolean;
    /** @type {Run | undefined} */
    lastRoot: Run | undefined;
    /** @type {unknown} */
    failure: unknown;
    /** @type {{err: unknown, text: string, run: Run | undefined}[]} */
    reported: {
        err: unknown;
        text: string;
        run: Run | undefined;
    }[];
    /** @type {import("./runs.js").Usage | undefined} */
    usage: import("./runs.js").Usage | undefined;
    /** @type {{amount: number, currency: string}[]} */
    costs: {
        amount: number;
        currency: string;
    }[];
    over: boolean;
    /**
     * Enters the run and says how its beginning is told.
     * @param {Run} r
     */
    enter(r: Run): "resumed" | "started";
    /**
     * Marks the run as ended and says how that is told; undefined: it was before.
     * @param {Run} r
     * @param {unknown} err
     * @returns {"completed" | "failed" | "interrupted" | "" | undefined} "": was told before
     */
    close(r: Run, err: unknown): "completed" | "failed" | "interrupted" | "" | undefined;
    /**
     * Takes the ended run out of the tree.
     * @param {Run} r
     */
    leave(r: Run): void;
    /**
     * Marks the run as waiting; says whether none beneath it was, or undefined if
     * it was so before.
     * @param {Run} r
     */
    interrupt(r: Run): boolean | undefined;
    /** @param {Run} r */
    stopWaiting(r: Run): boolean;
    /**
     * The run beneath r that told of err before; or it is remembered that r tells
     * of it now, and undefined.
     * @param {unknown} err
     * @param {string} text
     * @param {Run | undefined} r undefined: the job itself
     */
    cause(err: unknown, text: string, r: Run | undefined): string | undefined;
    /**
     * Adds a model call's cost to the sum of its currency.
     * @param {{amount: number, currency: string} | undefined} cost
     */
    addCost(cost: {
        amount: number;
        currency: string;
    } | undefined): void;
    /** @param {import("./runs.js").Usage | undefined} u */
    addUsage(u: import("./runs.js").Usage | undefined): void;
}
