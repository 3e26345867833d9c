/** A list that is read page by page, and again by itself where a page could not be read. */
import { sleep } from "@client/retry.js";
import { type Dispatch, type StateUpdater, useEffect, useRef, useState } from "preact/hooks";
import { asError, longer, RETRY_MS } from "./retries.js";

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly nextPageToken: string;
}

export interface Pages<Row> {
  readonly rows: readonly Row[];
  readonly isLoaded: boolean;
  readonly isFull: boolean;
  readonly error: Error | undefined;
  readonly setRows: Dispatch<StateUpdater<readonly Row[]>>;
  more(): void;
}

/**
 * The pages that `read` returns, at most `most` rows of them. Whatever is in `inputs` changes, it
 * begins anew.
 */
export function usePages<Row>(
  read: (pageToken: string) => Promise<Page<Row> | undefined>,
  most: number,
  inputs: readonly unknown[],
): Pages<Row> {
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [token, setToken] = useState<string | undefined>();
  const [error, setError] = useState<Error | undefined>();
  /** Ends what still reads the list that was shown before. */
  const reading = useRef(new AbortController());
  const load = async (pageToken: string, pauseMs = RETRY_MS): Promise<void> => {
    const { signal } = reading.current;
    try {
      const found = await read(pageToken);
      if (!found || signal.aborted) return;
      setRows((old) => (pageToken ? [...old, ...found.rows].slice(0, most) : found.rows));
      setToken(found.nextPageToken);
      setError(undefined);
    } catch (reason) {
      if (signal.aborted) return;
      setError(asError(reason));
      await sleep(pauseMs, signal);
      await shown(signal);
      if (!signal.aborted) await load(pageToken, longer(pauseMs));
    }
  };
  useEffect(() => {
    const mine = new AbortController();
    reading.current = mine;
    void load("");
    return () => mine.abort();
  }, inputs);
  return {
    ...{ rows, error, setRows },
    isLoaded: token !== undefined || error !== undefined,
    isFull: rows.length >= most,
    more: () => {
      if (!token || rows.length >= most) return;
      setToken("");
      void load(token);
    },
  };
}

/** Wait until the page is shown. */
function shown(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
    look();
  });
}
