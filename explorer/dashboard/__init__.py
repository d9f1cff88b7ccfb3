"""The dashboard: `streamlit run app.py`. What pages share lies here; pages are scripts and are never imported."""
