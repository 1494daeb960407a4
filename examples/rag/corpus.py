"""What the pipeline knows: short notes about keeping bees, written for this example."""

NOTES = (
    "A colony in summer has one queen, some hundred drones and fifty thousand workers.",
    "The queen lays up to two thousand eggs a day and lives for three to five years.",
    "Workers turn nectar into honey by drying it until it holds less than eighteen percent water.",
    "Smoke calms a hive because the bees fill their stomachs with honey and are slow to sting.",
    "A swarm leaves when the hive is crowded: the old queen goes with half of the workers.",
    "Varroa mites feed on brood; a board below the frames shows how many fall in a day.",
    "In winter the colony forms a cluster and shivers to keep its centre at thirty degrees.",
    "Feed sugar syrup in autumn if the hive weighs less than thirty kilograms.",
    "A dance in the shape of an eight tells where flowers are: its angle is the way to the sun.",
    "Wax comes from glands below the abdomen; building one kilogram costs six of honey.",
)
