// The few things that the page asks of the DOM. Text is always set as text, never
// parsed as HTML: payloads come from anybody.

/** byId returns the element of index.html with that id. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) throw new Error(`index.html has no #${id}`);
  return e as unknown as T;
}

/** make creates an element with a class and children. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

/** button creates a button that does something. */
export function button(text: string, label: string, act: () => void): HTMLButtonElement {
  const b = make("button", "", text);
  b.type = "button";
  if (label) b.setAttribute("aria-label", label);
  b.addEventListener("click", act);
  return b;
}

/** setText sets text only when it differs: an unchanged node costs no layout. */
export function setText(e: Element, text: string): void {
  if (e.textContent !== text) e.textContent = text;
}

/** perFrame returns a function that runs draw once in the next frame, however often it is called. */
export function perFrame(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
