"""Tables of splits, as written by the builder beside its shards."""


def write_split_tables(folder):
    """Writes a complete table of splits in folder/table, and half of one in folder/half_table."""
    splits = ["train"] * 6 + ["validation", "test"]
    rows = [f"COVID-{n},COVID,sirm,{splits[n]},COVID-{n},{n:064}\n" for n in range(8)]
    head = "id,label,source,split,group,sha256\n"
    version = "covid19_radiography/224x224/1.0.0/splits.csv"
    whole, half = (folder / name / version for name in ("table", "half_table"))
    for path, text in ((whole, head + "".join(rows)), (half, head + "COVID-1,COVID,si")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
