export function Search({ query }: { query: string }) { return <p>{query}</p>; }
