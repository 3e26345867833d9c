export function Inbox({ agentId }: { agentId: string }) { return <p>{agentId}</p>; }
