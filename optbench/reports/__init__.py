"""Reports: what the runs of a results folder show, and how sure that is. Reads only the store; never imports torch.

results folder -> read (tables of runs and records) -> statistics, claims -> build -> model.content.Report (report.json)
                                                                                            |
  report.html, report.md, CSV, PNG, SVG, terminal  <-  render  <-  model.document.Document (chapters of tables, figures)
"""
