/** What comes with texts: structured content, and files. */
import type { JsonObject } from "@bufbuild/protobuf";
import { AttachmentPlace } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import type { Attachment } from "@client/generated/dovetail/types/v1/types_pb.js";
import { session } from "../data/session.js";
import { compact, json, line } from "../lib/text.js";
import { Fault, useAction } from "./fault.js";
import { Long, T } from "./text.js";

export function Structure({ title, data }: { title: string; data: JsonObject | undefined }) {
  if (!data) return null;
  return (
    <details class="structure">
      <summary>{title}</summary>
      <Long text={json(data)} first={4_000} />
    </details>
  );
}

interface Source {
  readonly taskId?: string;
  readonly messageId?: string;
  readonly place?: "input" | "result";
}

/** Files by their names. Their bytes are read when they are saved; what is a link is shown as a text. */
export function Files({
  title,
  files,
  ...source
}: Source & { title: string; files: readonly Attachment[] }) {
  const action = useAction();
  if (!files.length) return null;
  return (
    <section class="files">
      <h3>{title}</h3>
      <ul class="plain">
        {files.map((file) => (
          <li key={file.name}>
            <T text={file.name} most={255} />{" "}
            <span class="faint small">
              {line(file.mediaType, 80)}
              {file.size > 0n && `, ${compact(Number(file.size))} bytes`}
            </span>{" "}
            {file.content.case === "url" ? (
              <span class="faint">
                <T text={file.content.value} most={2_048} />
              </span>
            ) : (
              <button
                type="button"
                class="quiet"
                disabled={action.isRunning}
                onClick={() => void action.run(() => save(file, source))}
              >
                save
              </button>
            )}
          </li>
        ))}
      </ul>
      <Fault error={action.error} />
    </section>
  );
}

/** Never opened here: it is saved as bytes, whatever it says that it is. */
async function save({ name }: Attachment, { taskId, messageId, place }: Source): Promise<void> {
  const client = session.value?.client;
  if (!client) return;
  const places = { input: AttachmentPlace.INPUT, result: AttachmentPlace.RESULT };
  const { attachment } = taskId
    ? await client.tasks.getTaskAttachment({ taskId, name, place: places[place ?? "input"] })
    : await client.messaging.getAttachment({ messageId: messageId ?? "", name });
  if (attachment?.content.case !== "data") return;
  const bytes = new Uint8Array(attachment.content.value);
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
