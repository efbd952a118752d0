# %% [markdown]
# # repaudit in a notebook
# Every cell runs as it stands: the model and the digits come with the package, and tables need pandas, which does not
# (`pip install pandas`). Put your own references in their place.

# %%
import repaudit

report = repaudit.scan("embedded:digits-cnn", "digits", audits=["accuracy", "calibration", "geometry", "cones"])
report  # the last line of a cell: verdict, gates and headline metrics

# %% [markdown]
# ## Numbers
# A metric has its value, its interval (or the reason why there is none), its unit and its count.

# %%
ece = report.metrics["calibration.ece"]
print(f"ECE {ece.value:.4f} on {ece.n} images")
print(f"{ece.interval.level:.0%} interval {ece.interval.low:.4f} to {ece.interval.high:.4f}, {ece.interval.method}")

# %%
table = report.to_dataframe()
table.loc[table.unit == "fraction", ["value", "low", "high", "n"]]

# %% [markdown]
# ## Images
# One row an image: what was predicted, how sure, where the feature lies.

# %%
import pandas as pd

images = pd.DataFrame(dict(report.columns)).set_index("id")
wrong = images[images.prediction != images.label]
wrong.sort_values("confidence", ascending=False).head()

# %% [markdown]
# The report's accuracy is the mean of these rows.

# %%
assert abs((images.prediction == images.label).mean() - report.metrics["accuracy.top1"].value) < 1e-12

# %% [markdown]
# ## Files
# A folder gets the JSON with its rows, the page, Markdown and every figure as SVG and PNG.
# What was saved reads back the same.

# %%
from pathlib import Path

print([str(path) for path in report.save("audited")])
again = repaudit.Report.load("audited")
assert again.metrics == report.metrics
page = Path("audited/report.html")  # open it in a browser

# %% [markdown]
# ## Gates
# The same conditions as in `repaudit.yaml`; a notebook reads the verdicts, a shell the exit status.

# %%
gated = repaudit.scan(
    "embedded:digits-cnn",
    "digits",
    audits=["accuracy", "calibration"],
    settings=["gates=[top1 >= 0.90, ece <= 0.05 @95%, top1 >= 0.999]"],
)
for verdict in gated.gates:
    print(f"{verdict.gate:22}{verdict.outcome:8}{verdict.reason}")
assert gated.run.exit_code == 1
