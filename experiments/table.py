import json
rows = [json.loads(l) for l in open("../screen.jsonl")]
print("| network | weights | family | Raw | heat on object (ceiling) | of ceiling | within 8 px (ceiling) | of ceiling | crops < 5 % object | deciding parts in box, area 25 % (moved, centred, ceiling) | confidence: nothing / hot object / hot background erased (areas) |")
print("|---|---|---|---|---|---|---|---|---|---|---|")
for r in rows:
    print(f"| {r['net']} | {r['weights']} | {r['family'][5:]} | {r['raw']} | {r['on']} ({r['ceil_on']}) | {r['of_ceiling']} | {r['near']} ({r['ceil_near']}) | {r['near_of_ceiling']} | {r['crop_under_5']} | {r['kept25']} ({r['kept25_moved']}, {r['kept25_centred']}, {r['ceil_kept25']}) | {r['conf']} / {r['hot_object_conf']} / {r['hot_background_conf']} ({r['hot_object_area']}, {r['hot_background_area']}) |")
