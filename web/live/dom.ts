import { splitIsolated } from './isolate.ts';

/** Making and changing what is on the page. Data becomes text, never markup. */

type Child = Node | string | null;

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter(child => child !== null));
  return node;
}

/** What somebody wrote may run from right to left: it keeps that to itself. */
export const quote = (text: string): HTMLElement => make('bdi', {}, text);

/** A line in which names are isolated. */
export const quoteNames = (text: string): (Node | string)[] =>
  splitIsolated(text).map((part, at) => (at % 2 === 1 ? quote(part) : part));

/** Writes a figure; one that was there and is another one now flashes. */
export function setFigure(node: HTMLElement, text: string): void {
  if (node.textContent === text) return;
  const is_first = node.textContent === '';
  node.textContent = text;
  if (!is_first) flash(node);
}

/** The style makes figures as large as the longest of them can be. */
export function fitFigures(node: HTMLElement, figures: readonly HTMLElement[]): void {
  const longest = Math.max(...figures.map(({ textContent }) => textContent.length));
  node.style.setProperty('--longest', String(longest));
}

export function flash(node: HTMLElement): void {
  node.classList.remove('flash');
  // an animation begins anew only on what was without it for a moment
  void node.offsetWidth;
  node.classList.add('flash');
}

/** What stays marked would flash again whenever it is moved. One look for all: where nothing moves, nothing ends. */
export function unmarkFlashed(root: HTMLElement): void {
  root.addEventListener('animationend', ({ target }) => (target as Element).classList.remove('flash'));
}

/** Those that stay where they are aren't touched: moving them would begin their animations anew. */
export function setChildren(parent: HTMLElement, children: readonly HTMLElement[]): void {
  for (const [at, child] of children.entries())
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  while (parent.children.length > children.length) parent.lastElementChild!.remove();
}

export function card(name: string, title: string, ...children: Child[]): HTMLElement {
  const id = `card-${name}`;
  return make('section', { class: `card ${name}`, 'aria-labelledby': id }, make('h2', { id }, title), ...children);
}
