/** A dialog over the page: the browser's own, which holds the focus and closes with Esc. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons.js";

export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  name: string;
}) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current?.showModal();
    return () => box.current?.close();
  }, []);
  return (
    <dialog
      ref={box}
      onClose={props.onClose}
      aria-labelledby={`${props.name}-title`}
      data-test={props.name}
    >
      <header class="band-head">
        <h2 id={`${props.name}-title`}>{props.title}</h2>
        <button type="button" class="bare" aria-label="Close" onClick={props.onClose}>
          <Icon name="close" />
        </button>
      </header>
      {props.children}
    </dialog>
  );
}
