"""The style sheet of the page that a probe writes: light and dark, for the screen and for paper, nothing loaded."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ink:#1c2024;--soft:#5f676e;--line:#dfe3e6;--paper:#fcfcfb;--good:#1c7a47;--bad:#b3261e;--warn:#8a5a00;
--code:#eef0f1}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#9ba3aa;--line:#30363b;--paper:#15181b;--good:#59c088;
--bad:#f2827a;--warn:#e3b341;--code:#23282c}}
*{box-sizing:border-box;margin:0}
body{background:var(--paper);color:var(--ink);font:16px/1.5 ui-sans-serif,system-ui,"Segoe UI","Helvetica Neue",Arial,
sans-serif;padding:3rem 1.25rem 4rem}
main{max-width:54rem;margin:0 auto}
header{display:flex;gap:1.75rem;align-items:center;padding-bottom:2rem;border-bottom:1px solid var(--line)}
.grade{flex:none;width:7rem;height:7rem;border-radius:50%;border:3px solid currentColor;display:grid;
place-items:center;font-size:3.75rem;font-weight:600;line-height:1}
.A{color:var(--good)}.B{color:var(--warn)}.C,.D,.F{color:var(--bad)}
.kind{font-size:.8rem;letter-spacing:.08em;text-transform:uppercase;color:var(--soft)}
h1{font-size:1.9rem;font-weight:600;line-height:1.25;letter-spacing:-.01em;overflow-wrap:anywhere}
h1 span{color:var(--soft);font-weight:400}
.verdict{font-size:1.05rem;margin-top:.15rem}
.facts{color:var(--soft);font-size:.875rem;font-variant-numeric:tabular-nums}
section{margin-top:2.5rem}
h2{font-size:1.05rem;font-weight:600;margin-bottom:.6rem}
h3{font-size:1rem;font-weight:600}
h3::first-letter{text-transform:uppercase}
code{font:.78rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--code);color:var(--soft);
padding:.1rem .35rem;border-radius:3px;font-weight:400;white-space:nowrap}
.findings{list-style:none;padding:0}
.findings li{display:flex;gap:1rem;padding:.8rem 0;border-top:1px solid var(--line);break-inside:avoid}
.findings p{overflow-wrap:anywhere}
.badge{flex:none;width:1.75rem;height:1.75rem;border:1.5px solid currentColor;border-radius:50%;display:grid;
place-items:center;font-size:.85rem;font-weight:600}
.badge.A{color:var(--soft)}
.remedy{color:var(--soft);font-size:.925rem}
.remedy::before{content:"\\2192\\00a0"}
.nothing{color:var(--soft)}
p span,td span{white-space:nowrap}
table{width:100%;border-collapse:collapse;font-size:.925rem}
tr{border-top:1px solid var(--line);break-inside:avoid}
th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0}
th{width:17rem;font-weight:400;color:var(--soft)}
td{overflow-wrap:anywhere}
.mark{width:1.75rem;font-weight:600;color:var(--soft)}
.good .mark{color:var(--good)}
.bad .mark,.bad td{color:var(--bad)}
.unseen td{color:var(--soft)}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8rem;
white-space:pre-wrap}
@media (max-width:38rem){header{align-items:flex-start;gap:1rem}.grade{width:4rem;height:4rem;font-size:2rem}
th{width:auto;display:block;padding-bottom:0}tr{display:grid;grid-template-columns:1.5rem 1fr}
tr td:last-child{grid-column:2;padding-top:0}}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--good:#0b5a30;--bad:#8f1710;--warn:#6b4600;
--code:#fff}body{padding:0;font-size:10.5pt}main{max-width:none}section{margin-top:1.5rem}
h2{break-after:avoid}.grade{width:5rem;height:5rem;font-size:2.5rem}@page{margin:18mm}}
"""
