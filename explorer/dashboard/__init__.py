"""The dashboard: `streamlit run app.py`. What pages share lies here; pages are scripts and are never
imported.
"""

import os

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # threads that wait for work sleep: the cores are there for all who look
