export function Thread({ threadId }: { threadId: string }) { return <p>{threadId}</p>; }
