"""The HTML of a report: style sheet, sections and tables."""

import html
from collections.abc import Sequence

STYLE = """
:root{--ink:#1d2433;--soft:#667085;--line:#e4e7ec;--accent:#2f6fde}
*{box-sizing:border-box}
body{margin:0;background:#f4f5f7;color:var(--ink);
 font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{background:#16213a;color:#fff;padding:38px 0 34px}
header .in,main{max-width:1180px;margin:0 auto;padding:0 24px}
header h1{margin:0 0 6px;font-size:27px;letter-spacing:-.01em;font-weight:650}
header p{margin:0;color:#c3cbdd;max-width:840px}
section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:22px 24px;
 margin:20px 0}
h2{margin:0 0 4px;font-size:18px;font-weight:650}
h3{margin:18px 0 6px;font-size:14px;font-weight:600}
p.lead{margin:0 0 14px;color:var(--soft);max-width:860px}
.tiles{display:flex;flex-wrap:wrap;gap:14px;margin-top:14px}
.tile{flex:1 1 200px;border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.tile b{display:block;font-size:23px;font-weight:650;letter-spacing:-.02em}
.tile span{color:var(--soft);font-size:13px}
.tile em{font-style:normal;font-size:13px;display:block;margin-top:2px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:6px 9px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;vertical-align:bottom}
th small{display:block;font-weight:400;color:var(--soft)}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}
tr.group td{color:var(--soft);font-size:12px;padding-top:14px;background:#fff}
tr.strong td{background:#eef4ff}
td i{display:block;font-style:normal;color:var(--soft);font-size:11px}
td b{color:#1548a0}
td:first-child i{white-space:normal;max-width:170px}
.grid{border-spacing:4px;border-collapse:separate;width:auto}
.grid td,.grid th{border:0;padding:1px;text-align:center;position:static;background:none}
.grid th{font-size:12px;color:var(--soft);font-weight:500;padding-bottom:4px}
.grid img{width:128px;height:128px;display:block;border-radius:4px}
.wrap{display:inline-block;white-space:normal;min-width:180px;text-align:left}
p.warning{border-left:4px solid #b42318;background:#fef3f2;padding:10px 14px;margin:20px 0}
.plots{display:flex;flex-wrap:wrap;gap:22px 26px}
.plots svg{height:auto;max-width:100%}
img.wide{max-width:100%;image-rendering:auto;border-radius:4px}
pre{overflow-x:auto;background:#f7f8fa;border:1px solid var(--line);border-radius:8px;padding:12px;
 font-size:12px;line-height:1.45}
summary{cursor:pointer;color:var(--accent)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:0;font-size:13.5px}
dt{color:var(--soft)} dd{margin:0}
footer{color:var(--soft);font-size:13px;padding:6px 0 40px}
"""


def escape(content: object) -> str:
    """Text for HTML, attributes included."""
    return html.escape(str(content), quote=True)


def section(title: str, lead: str, *parts: str) -> str:
    """A titled part of the page; nothing without parts."""
    body = "".join(part for part in parts if part)
    if not body:
        return ""
    return f"<section><h2>{escape(title)}</h2><p class='lead'>{escape(lead)}</p>{body}</section>"


def warning(text: str) -> str:
    """A sentence that a reader must not miss."""
    return f"<p class='warning'><b>{escape(text)}</b></p>"


def tile(label: str, value: str, remark: str) -> str:
    """One figure that is seen first."""
    return (
        f"<div class='tile'><span>{escape(label)}</span><b>{escape(value)}</b>"
        f"<em>{escape(remark)}</em></div>"
    )


def table(head: Sequence[str], lines: Sequence[str]) -> str:
    """A table of ready-made head cells and lines (HTML); see ``line``."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    return (
        f"<div class='scroll'><table><thead><tr>{cells}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def line(cells: Sequence[str], strong: bool = False) -> str:
    """One line of a table, of ready-made cells (HTML); a strong one stands out."""
    mark = " class='strong'" if strong else ""
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def definitions(items: Sequence[tuple[str, str]]) -> str:
    """Terms and what they mean."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items) + "</dl>"


def plots(drawings: Sequence[str]) -> str:
    """Drawings side by side; nothing without any."""
    return f"<div class='plots'>{''.join(drawings)}</div>" if drawings else ""


def page(title: str, lead: str, sections: Sequence[str], footer: str) -> str:
    """The whole page; it loads nothing from other files or servers."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><div class='in'><h1>{escape(title)}</h1><p>{escape(lead)}</p></div></header>"
        f"<main>{''.join(sections)}<footer>{escape(footer)}</footer></main></body></html>\n"
    )
