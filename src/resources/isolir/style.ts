/**
 * For a phone in the sun: black on white, large targets. Nothing that a browser of 2013 doesn't know (no grid, no gap, no
 * custom properties), and nothing that is fetched.
 */
export const STYLE = `
html{-webkit-text-size-adjust:100%}
body{margin:0;background:#eef1f4;color:#111;font:17px/1.5 Roboto,"Helvetica Neue",Arial,sans-serif;word-wrap:break-word}
.sheet{max-width:480px;margin:0 auto;padding:12px 12px 24px}
.name{margin:0;padding:4px 4px 12px;font-size:20px;font-weight:bold;line-height:1.3}
.card{background:#fff;border:1px solid #c5ccd3;border-radius:8px;padding:16px;margin:0 0 12px}
.card h1,.card h2{margin:0 0 8px;font-size:19px;line-height:1.3}
.card p{margin:0 0 8px}
.card p:last-child{margin-bottom:0}
.warn{border-color:#b3261e;border-left-width:6px}
.warn h1{color:#8c1d18}
.good{border-color:#1b6e36;border-left-width:6px}
.good h1{color:#14532b}
label{display:block;margin:12px 0 0;font-weight:bold}
.hint{display:block;font-weight:normal;font-size:15px;color:#3c4650}
input{display:block;width:100%;height:50px;margin:4px 0 0;padding:0 12px;border:2px solid #4a5560;border-radius:6px;background:#fff;color:#111;font:inherit;-webkit-box-sizing:border-box;box-sizing:border-box;-webkit-appearance:none;appearance:none}
input:focus{border-color:#0b4f8a;outline:2px solid #0b4f8a}
button,.button{display:block;width:100%;min-height:52px;margin:16px 0 0;padding:13px 12px;border:0;border-radius:6px;background:#0b4f8a;color:#fff;font:bold 18px/26px Roboto,"Helvetica Neue",Arial,sans-serif;text-align:center;text-decoration:none;cursor:pointer;-webkit-box-sizing:border-box;box-sizing:border-box;-webkit-appearance:none;appearance:none}
.plain{background:#fff;color:#0b4f8a;border:2px solid #0b4f8a;padding:11px 12px;margin:8px 0 0}
table{width:100%;border-collapse:collapse}
td{padding:10px 0;border-top:1px solid #c5ccd3;vertical-align:top;text-align:left}
tr:first-child td{border-top:0}
td.sum{padding-left:12px;text-align:right;white-space:nowrap}
.what{display:block;font-weight:bold}
.when{display:block;font-size:15px;color:#3c4650}
.unit{white-space:nowrap}
.late{color:#8c1d18;font-weight:bold}
.total td{border-top:2px solid #111;font-size:19px;font-weight:bold}
.credit td{border-top:0;padding-top:0}
pre{margin:0;font:inherit;white-space:pre-wrap;word-wrap:break-word}
.foot{padding:4px;text-align:center}
.foot a{display:inline-block;padding:12px 16px;color:#0b4f8a}
`;
