// As much of a document as the page's own pieces touch: elements that hold children, attributes and listeners.

class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {}, listeners: {}, className: '', hidden: false });
  }

  append(...nodes) { this.children.push(...nodes.map((node) => (node instanceof Element ? node : String(node)))); }

  replaceChildren(...nodes) {
    this.children = [];
    this.append(...nodes);
  }

  setAttribute(name, value) { this.attributes[name] = String(value); }

  getAttribute(name) { return this.attributes[name] ?? null; }

  addEventListener(kind, listener) { this.listeners[kind] = listener; }

  get textContent() { return this.children.map((child) => (child instanceof Element ? child.textContent : child)).join(''); }

  set textContent(text) { this.replaceChildren(...(text ? [text] : [])); }

  // every element below, in the document's order
  get all() { return this.children.flatMap((child) => (child instanceof Element ? [child, ...child.all] : [])); }

  // as the page asks: tags and attributes, one beside the other
  querySelectorAll(wanted) {
    const each = wanted.split(', ');
    return this.all.filter((node) => each.some((one) => (one[0] === '[' ? one.slice(1, -1) in node.attributes : one === node.tag)));
  }

  named(tag) { return this.all.filter((node) => node.tag === tag); }
}

globalThis.document = { createElement: (tag) => new Element(tag), createElementNS: (_space, tag) => new Element(tag) };

export const place = () => new Element('div');
