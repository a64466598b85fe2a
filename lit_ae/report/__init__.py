"""Finished runs to a study's report: tables (Markdown, LaTeX, CSV), figures and an HTML page."""

from lit_ae.report.render import ReportPaths, build_report, print_table

__all__ = ["ReportPaths", "build_report", "print_table"]
