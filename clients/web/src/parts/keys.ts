/** Keys in fields. */

/** Ctrl Enter sends the form in which a text is written. */
export function sendByKey(event: KeyboardEvent): void {
  const field = event.currentTarget;
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  if (field instanceof HTMLTextAreaElement) field.form?.requestSubmit();
}
