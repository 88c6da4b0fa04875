"""Reports: what the runs of a results folder say, with how sure that is. Reads only the store; never imports torch.

results folder -> reading (tables of runs and records) -> measures, statistics -> building -> content.Report
                                                                                              |
                        report.html, report.md, report.json, CSV, PNG, SVG, terminal  <-  writing, html, ...
"""
