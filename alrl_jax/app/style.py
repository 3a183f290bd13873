"""The looks of the page, and names for who hears it; its fonts are those of the browser."""

FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
MONOSPACE = ("ui-monospace", "Consolas", "monospace")
ICON = "data:image/svg+xml," + (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Ccircle cx='12' cy='16' r='10' fill='%231d4ed8'/%3E"
    "%3Ccircle cx='20' cy='16' r='10' fill='%23c2410c' fill-opacity='.75'/%3E%3C/svg%3E"
)
NAMES = """
const name = () => {
  for (const set of document.querySelectorAll('fieldset:not([aria-label])')) {
    const label = set.querySelector('[data-testid=block-info]');
    if (label) set.setAttribute('aria-label', label.textContent.trim());
  }
  for (const input of document.querySelectorAll('.block input[type=file]')) {
    const label = input.closest('.block').querySelector('label');
    const button = input.closest('button');
    if (!label) continue;
    for (const each of [input, button]) {
      const text = label.textContent.trim();
      if (each && each.getAttribute('aria-label') !== text) each.setAttribute('aria-label', text);
    }
  }
};
new MutationObserver(name).observe(document, {childList: true, subtree: true});
"""
"""Gradio gives no name to groups of radio buttons, and the same one to all upload areas."""
HEAD = (
    f'<link rel="icon" href="{ICON}"><meta name="robots" content="noindex"><script>{NAMES}</script>'
)

CSS = """
.dark { --color-accent: #93c5fd; }
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
.alrl-title h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
.alrl-title p { margin: 0; color: var(--body-text-color-subdued); max-width: 70ch; }
.alrl-consent { border: 2px solid var(--color-accent) !important; }
.alrl-figure { margin: 0; min-width: 0; }
.alrl-figure img {
  width: 100%; max-width: 100%; height: auto; display: block; border-radius: 6px;
  background: var(--background-fill-secondary);
}
.alrl-figure figcaption {
  font-size: .82rem; color: var(--body-text-color-subdued); margin-top: .3rem;
  overflow-wrap: anywhere; text-align: center;
}
.alrl-main img { max-height: 70vh; object-fit: contain; }
.alrl-chosen .alrl-figure img { max-height: 300px; object-fit: contain; }
.alrl-sharp img { image-rendering: pixelated; }
.alrl-strip {
  display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(128px, 1fr));
}
.alrl-reason, .alrl-note {
  margin: .5rem 0 0; padding: .4rem .6rem; border-radius: 6px; font-size: .88rem;
  overflow-wrap: anywhere; color: var(--body-text-color);
}
.alrl-reason { border-left: 4px solid #c2410c; background: var(--background-fill-secondary); }
.alrl-note { padding-left: 0; color: var(--body-text-color-subdued); }
.alrl-gates { display: grid; gap: 1.4rem; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }
.alrl-gates section:last-child { grid-column: 1 / -1; }
.alrl-gates h3 { margin: .4rem 0; font-size: 1rem; }
.alrl-scroll { overflow-x: auto; max-width: 100%; }
.alrl-table {
  border: 0 !important; border-collapse: collapse; width: 100%; font-size: .84rem; margin: 0;
}
.alrl-table th, .alrl-table td {
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important;
  padding: .25rem .5rem;
  text-align: left; font-weight: 400; color: var(--body-text-color); overflow-wrap: anywhere;
}
.alrl-table thead th { font-weight: 600; }
.alrl-table.alrl-heat :is(th, td) { overflow-wrap: normal; white-space: nowrap; }
.alrl-heat td { text-align: center; background: rgb(29 78 216 / calc(var(--share) * .3)); }
.dark .alrl-heat td { background: rgb(96 165 250 / calc(var(--share) * .4)); }
.alrl-bar {
  display: block; height: .7rem; min-width: 90px; border-radius: 3px;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
}
.alrl-bar span { display: block; height: 100%; background: var(--color-accent); }
.alrl-progress { display: flex; gap: .8rem; align-items: center; flex-wrap: wrap; }
.alrl-progress progress {
  flex: 1 1 200px; height: .8rem; appearance: none; border: 0; border-radius: 4px;
  background: var(--border-color-primary); overflow: hidden;
}
.alrl-progress progress::-webkit-progress-bar { background: var(--border-color-primary); }
.alrl-progress progress::-webkit-progress-value { background: var(--color-accent); }
.alrl-progress progress::-moz-progress-bar { background: var(--color-accent); }
.alrl-video { width: 100%; max-height: 60vh; border-radius: 6px; }
.alrl-invent { align-self: end; flex-grow: 1; }
@media (max-width: 700px) {
  .alrl-result { order: -1; }
  .alrl-gates { grid-template-columns: minmax(0, 1fr); }
}
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
"""
