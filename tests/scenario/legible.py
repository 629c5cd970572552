"""Whether old eyes can read a page and old fingers hit it: measured in the browser, on what is shown just now."""

from typing import cast

from playwright.sync_api import Page

LETTERS_PX = 17
CONTRAST = 7  # WCAG 1.4.6
TARGET_PX = 44

_MEASURE = r"""([letters, contrast, target]) => {
  const found = [];
  const numbers = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, below, alpha) => below.map((value, i) => value * (1 - alpha) + top[i] * alpha);
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => { const v = value / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    if (!node) return [255, 255, 255];
    const colour = numbers(getComputedStyle(node).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(node.parentElement), colour[3]);
  };
  for (const node of document.querySelectorAll('body *')) {
    const { width, height, left, right } = node.getBoundingClientRect();
    if (!width || !height || node.closest('svg, .clock, .visually-hidden')) continue;
    const style = getComputedStyle(node);
    const text = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.textContent.trim()).join('');
    const say = (what) => found.push(`${node.tagName}.${node.className}#${node.id} "${(text || node.textContent).slice(0, 20)}": ${what}`);
    if (text) {
      const below = behind(node);
      const colour = numbers(style.color);
      const [a, b] = [light(over(colour, below, colour[3])), light(below)];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < contrast) say(`contrast ${ratio.toFixed(2)}`);
      if (parseFloat(style.fontSize) < letters) say(`letters of ${style.fontSize}`);
      if (style.overflowX === 'hidden' && node.scrollWidth > node.clientWidth + 1) say('cut off');
    }
    if (node.matches('button, a[href], select, input:not([type=checkbox])') && (width < target || height < target)) say(`target ${width}x${height}`);
    if (left < -1 || right > innerWidth + 1) say('beside the screen');
  }
  return found;
}"""


def hard_to_read(page: Page) -> list[str]:
    """What is too small, too pale, cut off, beside the screen or hard to hit; empty where all is well."""
    return cast("list[str]", page.evaluate(_MEASURE, [LETTERS_PX, CONTRAST, TARGET_PX]))
