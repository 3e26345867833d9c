/** Texts of others as they may be shown: every character visible, and never more than asked for. */

/** Controls, marks that turn the direction of writing, and characters without a width that hide text. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** One character that cannot be seen, as a picture of it or by its number. */
function picture(found: string): string {
  const code = found.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** The text with all that is invisible made visible; line ends and tabs stay. */
export function visible(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, picture);
}

/** The text on one line: for titles, names and cells. */
export function line(text: string, charactersMax = 300): string {
  const short = cut(text, charactersMax);
  const shown = visible(short).replace(/\s+/g, " ").trim();
  return short.length < text.length ? `${shown}\u2026` : shown;
}

/** The first characters of a text, without splitting one. */
export function cut(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text;
  const last = text.charCodeAt(charactersMax - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? charactersMax - 1 : charactersMax);
}

/** "1 task", "2 tasks". */
export function counted(count: number, what: string, several = `${what}s`): string {
  return `${number(count)} ${count === 1 ? what : several}`;
}

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A whole number with its thousands apart. */
export function number(value: number): string {
  return WHOLE.format(value);
}

/** A large number in few characters: 1.2M. */
export function compact(value: number): string {
  return value < 10_000 ? WHOLE.format(value) : SHORT.format(value);
}

/** Structured content, as text. */
export function json(value: unknown): string {
  return JSON.stringify(
    value,
    (_, each: unknown) => (typeof each === "bigint" ? String(each) : each),
    2,
  );
}
