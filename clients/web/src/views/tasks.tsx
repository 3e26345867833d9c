export function Tasks({ state }: { state: string }) { return <p>{state}</p>; }
