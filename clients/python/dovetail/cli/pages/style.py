"""The style of the page: light and dark, narrow and wide, on paper too. Nothing is loaded."""

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--faint:#57606a;--line:#d0d7de;
--raised:#f6f8fa;--completed:#1a7f37;--in-progress:#0969da;--input-required:#8250df;
--pending:#6e7781;--failed:#cf222e;--cancelled:#9a6700}
@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--faint:#9da7b1;
--line:#30363d;--raised:#161b22;--completed:#3fb950;--in-progress:#58a6ff;--input-required:#bc8cff;
--pending:#8b949e;--failed:#ff7b72;--cancelled:#d29922}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:80rem;margin:0 auto;padding:1rem clamp(.75rem,3vw,2.5rem) 3rem}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.25rem 0 .75rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem;font-weight:600}
.words{display:block;min-width:14rem;white-space:normal;text-align:start}
p{margin:.5rem 0}
.faint,footer,caption,.axis{color:var(--faint)}
bdi{overflow-wrap:anywhere}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.75rem 0}
dl.facts dt{color:var(--faint)}dl.facts dd{margin:0;overflow-wrap:anywhere}
dl.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:0}
dl.cards div{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem;
background:var(--raised)}
dl.cards dt{color:var(--faint);font-size:.85rem}
dl.cards dd{margin:0;font-size:1.3rem;white-space:nowrap;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--in-progress);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:start;padding:.25rem 0;font-size:.9rem}
th,td{text-align:end;padding:.35rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap;
vertical-align:top}
thead th{font-weight:600;color:var(--faint);font-size:.85rem}
th:first-child{text-align:start;padding-inline-start:0;position:sticky;inset-inline-start:0;
background:var(--ground)}
tbody th{font-weight:500;white-space:normal;min-width:8rem;max-width:24rem}
.wide{width:30%;min-width:7rem;text-align:start}
svg{display:block;width:100%;background:var(--raised)}
svg.bar{height:1rem;border-radius:.2rem;margin-top:.25rem}
svg.columns{height:11rem;border-bottom:1px solid var(--faint)}
.total svg.bar{height:1.5rem;margin:1rem 0 .5rem}
.axis{display:flex;justify-content:space-between;gap:1rem;font-size:.85rem}
.completed{fill:var(--completed)}.in-progress{fill:var(--in-progress)}
.input-required{fill:var(--input-required)}.pending{fill:var(--pending)}
.failed{fill:var(--failed)}.cancelled{fill:var(--cancelled)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;margin-inline-end:.5rem;
vertical-align:-.05rem}
.key rect{width:100%;height:100%}
details{margin:.75rem 0}summary{cursor:pointer;color:var(--faint)}
footer{margin-top:3rem;font-size:.85rem;border-top:1px solid var(--line);padding-top:.75rem}
@media print{.scroll{overflow:visible}main{max-width:none}}
"""
