"""The looks of the page: its style sheet; fonts are those of the machine that shows it."""

FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif")
MONOSPACE = ("ui-monospace", "Consolas", "monospace")
ICON = "data:image/svg+xml," + (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Ccircle cx='12' cy='16' r='10' fill='%231d4ed8'/%3E"
    "%3Ccircle cx='20' cy='16' r='10' fill='%23c2410c' fill-opacity='.75'/%3E%3C/svg%3E"
)
HEAD = f'<link rel="icon" href="{ICON}"><meta name="robots" content="noindex">'

CSS = """
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
.alrl-gates {
  display: grid; gap: 1.4rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr));
}
.alrl-gates h3 { margin: .4rem 0; font-size: 1rem; }
.alrl-scroll { overflow-x: auto; max-width: 100%; }
.alrl-table { border-collapse: collapse; width: 100%; font-size: .84rem; margin: 0; }
.alrl-table th, .alrl-table td {
  border: 0; border-bottom: 1px solid var(--border-color-primary); padding: .25rem .5rem;
  text-align: left; font-weight: 400; color: var(--body-text-color); overflow-wrap: anywhere;
}
.alrl-table thead th { font-weight: 600; }
.alrl-heat td { text-align: center; background: rgb(29 78 216 / calc(var(--share) * .3)); }
.dark .alrl-heat td { background: rgb(96 165 250 / calc(var(--share) * .4)); }
.alrl-bar {
  display: block; height: .7rem; min-width: 90px; border-radius: 3px;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
}
.alrl-bar span { display: block; height: 100%; background: var(--color-accent); }
.alrl-progress { display: flex; gap: .8rem; align-items: center; flex-wrap: wrap; }
.alrl-progress progress { flex: 1 1 200px; height: .8rem; accent-color: var(--color-accent); }
.alrl-video { width: 100%; max-height: 60vh; border-radius: 6px; }
.alrl-drop { min-height: 96px !important; }
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
"""
