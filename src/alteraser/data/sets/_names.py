"""The words the household is made of: categories, their shelves, and invented titles.

A title is a *head* and a *tail*, "Wrenfold" + "cast-iron skillet". Heads belong to a category (or
are the shop's makers), tails to one shelf of it, so that the titles of a shelf read alike. Every
name is invented.
"""

from __future__ import annotations

from dataclasses import dataclass

LEANINGS = (
    "small children",
    "games",
    "garden",
    "food",
    "sport",
    "quiet evenings",
    "tinkering",
    "going away",
)
"""What kind of household it is. Tastes correlate because categories share leanings."""

MAKERS = (
    "Ambleforth",
    "Brindlewick",
    "Corriebank",
    "Dunmarrow",
    "Elverstock",
    "Fennimoor",
    "Gristlewood",
    "Hobbinay",
    "Inverlark",
    "Jorrowby",
    "Kestrelby",
    "Larkspindle",
    "Merrowdale",
    "Nettlecombe",
    "Oddvale",
    "Pellimore",
    "Quillowby",
    "Rushenfold",
    "Stonnery",
    "Tarnaby",
    "Umberleigh",
    "Varnlow",
    "Wrenfold",
    "Yarrowick",
    "Zuberly",
    "Thimbury",
    "Osterfen",
    "Mossengate",
    "Hartlebray",
    "Dapplecote",
)
"""Makers of what the shop sells."""

COLORS = (
    "slate",
    "moss green",
    "cream",
    "rust",
    "navy",
    "plum",
    "sand",
    "charcoal",
    "sage",
    "mustard",
)


@dataclass(frozen=True)
class Category:
    """One category of the catalog."""

    name: str
    department: str  # "video" or "shop"
    share: float  # of the catalog, before all shares are scaled to sum to one
    leanings: dict[str, float]  # how much each kind of household cares
    # four groups of tails: the finer tastes inside the category
    shelves: tuple[tuple[str, ...], ...]
    heads: tuple[str, ...] = MAKERS


CATEGORIES = (
    Category(
        "Family films",
        "video",
        1.1,
        {"small children": 1.0, "games": 0.3, "quiet evenings": 0.2},
        (
            ("Lost Kitten", "Runaway Goose", "Brave Hedgehog", "Clumsy Otter", "Lonely Badger"),
            (
                "Flying Bathtub",
                "Paper Airship",
                "Wishing Kettle",
                "Upside-Down House",
                "Talking Umbrella",
            ),
            ("Summer Camp", "Snow Day", "Treehouse Club", "Village Fair", "Longest Holiday"),
            (
                "Pirate Grandmother",
                "Dragon Next Door",
                "Secret Staircase",
                "Midnight Carousel",
                "Moon Train",
            ),
        ),
        (
            "The",
            "Return of the",
            "Christmas with the",
            "Millie and the",
            "Oscar and the",
            "Saving the",
            "The Case of the",
            "Three Days with the",
            "Grandpa and the",
            "Goodbye to the",
        ),
    ),
    Category(
        "Toddler cartoons",
        "video",
        0.9,
        {"small children": 1.6},
        (
            (
                "the Little Digger",
                "the Blue Tractor",
                "the Tiny Train",
                "the Fire Truck",
                "the Bus",
            ),
            (
                "the Sleepy Bear",
                "the Bouncy Bunny",
                "the Duckling",
                "the Piglet",
                "the Baby Elephant",
            ),
            (
                "Count to Ten",
                "Learn the Colors",
                "Sing the Alphabet",
                "Clap Along",
                "Name the Shapes",
            ),
            ("Say Good Night", "Brush Their Teeth", "Take a Bath", "Share a Pear", "Put on Boots"),
        ),
        (
            "Pim and",
            "Tutti and",
            "Lolo and",
            "Bibo and",
            "Nanna and",
            "Dodo and",
            "Momo and",
            "Fizz and",
            "Wuffle and",
            "Kiki and",
        ),
    ),
    Category(
        "Gaming videos",
        "video",
        2.2,
        {"games": 1.7, "tinkering": 0.15},
        (
            (
                "Let's Play",
                "Biggest Castle Yet",
                "One Hundred Days",
                "Secret Rooms",
                "Redesigning My Base",
            ),
            (
                "Speedrun",
                "World Record Attempt",
                "Glitches Explained",
                "No-Damage Run",
                "Boss Rush",
            ),
            (
                "Funniest Fails",
                "Playing with My Sister",
                "Hide and Seek",
                "Prank Battle",
                "Challenge Night",
            ),
            (
                "Update Reviewed",
                "All Skins Ranked",
                "Top Ten Maps",
                "Hidden Characters",
                "Season Finale",
            ),
        ),
        (
            "Cubehollow:",
            "Turbo Turnips:",
            "Goblin Garage:",
            "Sky Ferrets:",
            "Pixel Moat:",
            "Lavaball:",
            "Robo Picnic:",
            "Dungeon Bakery:",
            "Kart Pandas:",
            "Noodle Knights:",
            "Starfarmers:",
            "Zombie Bus:",
        ),
    ),
    Category(
        "Nature documentaries",
        "video",
        1.0,
        {"garden": 0.9, "going away": 0.5, "quiet evenings": 0.4},
        (
            ("Puffin Cliffs", "Tidal Marsh", "Kelp Forest", "Coral Wall", "Whale Road"),
            ("Hedgerow", "Old Orchard", "Water Meadow", "Beech Wood", "Village Pond"),
            (
                "Snow Leopard Pass",
                "High Glacier",
                "Condor Ridge",
                "Frozen Steppe",
                "Northern Lights",
            ),
            ("Termite City", "Night Savanna", "Fig Tree", "Red Desert", "Monsoon Forest"),
        ),
        (
            "Secrets of the",
            "A Year in the",
            "Life at the",
            "The Hidden World of the",
            "Return to the",
            "Voices of the",
            "Hunters of the",
            "Beneath the",
            "Children of the",
            "One Night at the",
        ),
    ),
    Category(
        "Cooking shows",
        "video",
        1.0,
        {"food": 1.4, "garden": 0.25},
        (
            (
                "Bread at Home",
                "Sourdough Week",
                "Cakes for Sunday",
                "Pastry School",
                "The Pie Hour",
            ),
            (
                "Half-Hour Suppers",
                "One-Pot Dinners",
                "Weeknight Noodles",
                "Soup Season",
                "Lunchbox Rescue",
            ),
            (
                "From the Garden Plot",
                "Beans and Greens",
                "The Pickle Jar",
                "Mushroom Days",
                "Root to Leaf",
            ),
            (
                "Street Food Atlas",
                "Fire and Smoke",
                "The Spice Road",
                "Dumpling Diaries",
                "Grill Club",
            ),
        ),
        (
            "Ida Marsh:",
            "Bruno Vell:",
            "Auntie Oyin:",
            "Tomas Reef:",
            "The Larder:",
            "Kitchen Light:",
            "Priya Lund:",
            "Two Spoons:",
            "Nonna Bea:",
            "The Copper Pan:",
        ),
    ),
    Category(
        "Crime series",
        "video",
        1.1,
        {"quiet evenings": 1.5, "sport": 0.15},
        (
            ("Inquest", "Murders", "Detective", "Confession", "Last Witness"),
            ("Heist", "Forgery", "Vault Job", "Long Con", "Inside Man"),
            ("Trial", "Verdict", "Appeal", "Jury", "Prosecutor"),
            ("Cold Case", "Missing Year", "Buried Letters", "Unknown Caller", "Silent Village"),
        ),
        (
            "Harrow Lane:",
            "Saltmarsh:",
            "North Quay:",
            "The Ferryman:",
            "Blackthorn:",
            "Precinct Nine:",
            "Winterbourne:",
            "Lake Orsa:",
            "Cinder Street:",
            "Inspector Vail:",
        ),
    ),
    Category(
        "Stand-up comedy",
        "video",
        0.7,
        {"quiet evenings": 0.4, "games": 0.5, "sport": 0.3},
        (
            ("Mostly Sorry", "Nobody Asked", "Fine, Actually", "Please Clap", "Wrong Room"),
            ("Married, Apparently", "Ask My Mother", "In-Law Season", "Third Child", "School Run"),
            (
                "Live at the Boathouse",
                "Live in a Barn",
                "Live on Platform 4",
                "Barely Live",
                "Live and Late",
            ),
            ("Office Hours", "Reply All", "Out of Office", "Muted", "Minutes of the Meeting"),
        ),
        (
            "Dale Otter:",
            "Mina Pock:",
            "Gus Farrow:",
            "Ola Brandt:",
            "Tilly Vance:",
            "Rafi Stone:",
            "June Halloway:",
            "Kofi Wren:",
        ),
    ),
    Category(
        "Home makeovers",
        "video",
        0.8,
        {"tinkering": 0.7, "garden": 0.6, "quiet evenings": 0.2},
        (
            ("Tiny Apartment", "Attic", "Narrow Hall", "Box Room", "Studio"),
            ("Farmhouse", "Old Mill", "Chapel", "Barn", "Lighthouse"),
            ("Patio", "Greenhouse", "Roof Terrace", "Front Garden", "Summer House"),
            (
                "Workshop",
                "Kitchen on a Budget",
                "Bathroom in a Day",
                "Salvaged Stairs",
                "Painted Floor",
            ),
        ),
        (
            "Rescue My",
            "Two Weeks, One",
            "Rebuilding the",
            "Sanding the",
            "The Great",
            "Before We Sell the",
            "Someone Bought a",
            "The Neighbors'",
        ),
    ),
    Category(
        "Sports highlights",
        "video",
        1.0,
        {"sport": 1.4, "games": 0.2},
        (
            ("Marathon", "Trail Race", "Ten Kilometers", "Relay", "Steeplechase"),
            ("Cup Final", "Derby", "Penalty Shootout", "Season Opener", "Late Winner"),
            ("Mountain Stage", "Time Trial", "Sprint Finish", "Cobbled Classic", "Breakaway"),
            ("Downhill", "Half-Pipe", "Biathlon", "Ski Jump", "Speed Skating"),
        ),
        (
            "Osterfen",
            "Lake Orsa",
            "Port Calder",
            "Valmere",
            "Grand Tarn",
            "Northbridge",
            "San Ribero",
            "Hallowick",
            "Monte Sero",
            "Great Fenland",
        ),
    ),
    Category(
        "Science explainers",
        "video",
        0.9,
        {"tinkering": 1.0, "games": 0.3, "quiet evenings": 0.2},
        (
            ("Black Holes", "Dark Matter", "Comets", "Moon Dust", "Gravity Waves"),
            ("Batteries", "Bridges", "Welding", "Heat Pumps", "Jet Engines"),
            ("Sleep", "Memory", "Yeast", "Blood", "Immune Cells"),
            ("Prime Numbers", "Sorting", "Probability", "Knots", "Encryption"),
        ),
        (
            "How Weird Are",
            "The Trouble with",
            "Ten Minutes on",
            "What We Got Wrong about",
            "A Short History of",
            "Explaining",
            "Arguing about",
            "The Beauty of",
            "Experiments with",
        ),
    ),
    Category(
        "Period dramas",
        "video",
        0.8,
        {"quiet evenings": 1.0, "food": 0.3, "garden": 0.3},
        (
            ("House", "Hall", "Abbey", "Manor", "Park"),
            ("Letters", "Sisters", "Inheritance", "Engagement", "Season"),
            ("Regiment", "Admiralty", "Garrison", "Voyage", "Frontier"),
            ("Millworkers", "Printers", "Lamplighters", "Seamstress", "Clockmaker"),
        ),
        (
            "Thornbury",
            "Ashcombe",
            "Lady Merrow's",
            "The Vereker",
            "Lindenfeld",
            "Calloway",
            "Evesholm",
            "The Dovecote",
            "St. Orrin's",
            "Fairlie",
        ),
    ),
    Category(
        "Travel diaries",
        "video",
        0.8,
        {"going away": 1.4, "food": 0.25, "quiet evenings": 0.15},
        (
            ("by Night Train", "on Rails", "by Slow Ferry", "by Cable Car", "by Tram"),
            ("on Foot", "with a Tent", "over the Passes", "along the Coast Path", "Hut to Hut"),
            ("on Ten a Day", "out of Season", "with Kids", "with My Father", "in the Rain"),
            ("for Breakfast", "one Market at a Time", "by Cheese", "in Forty Soups", "after Dark"),
        ),
        (
            "The Balkans",
            "Iceland",
            "Portugal",
            "Hokkaido",
            "The Hebrides",
            "Georgia",
            "Patagonia",
            "The Alps",
            "Vietnam",
            "Sardinia",
        ),
    ),
    Category(
        "Kitchen",
        "shop",
        1.2,
        {"food": 1.3, "garden": 0.2, "small children": 0.15},
        (
            ("cast-iron skillet", "sauté pan", "stockpot", "wok", "grill pan"),
            ("chef's knife", "bread knife", "paring knife set", "cutting board", "whetstone"),
            ("stand mixer", "proofing basket", "springform tin", "rolling pin", "digital scale"),
            ("pour-over kettle", "moka pot", "milk frother", "hand grinder", "teapot"),
        ),
    ),
    Category(
        "Garden tools",
        "shop",
        1.0,
        {"garden": 1.6, "tinkering": 0.15},
        (
            ("pruning shears", "loppers", "hedge trimmer", "pole saw", "grafting knife"),
            ("hand trowel", "border spade", "digging fork", "bulb planter", "hoe"),
            ("watering can", "soaker hose", "rain barrel", "sprayer", "drip kit"),
            ("seed tray", "cold frame", "raised bed", "potting bench", "grow tunnel"),
        ),
    ),
    Category(
        "Running gear",
        "shop",
        1.0,
        {"sport": 1.6, "going away": 0.2},
        (
            ("road shoes", "racing flats", "tempo shoes", "cushioned trainers", "track spikes"),
            ("trail shoes", "gaiters", "hydration vest", "soft flask", "folding poles"),
            ("wind jacket", "thermal tights", "merino tee", "split shorts", "running gloves"),
            ("interval watch", "chest strap", "headlamp", "massage ball", "race belt"),
        ),
    ),
    Category(
        "Board games",
        "shop",
        0.9,
        {"games": 0.8, "small children": 0.4, "quiet evenings": 0.3},
        (
            (
                "Merchants of Tarn",
                "Harbor Ledger",
                "Salt and Silver",
                "The Guild Hall",
                "Wool Road",
            ),
            (
                "Snail Derby",
                "Leaping Frogs",
                "Monster Muddle",
                "Stack the Sheep",
                "Who Hid the Cheese",
            ),
            ("The Iron Keep", "Nine Kingdoms", "Siege of Fen", "Last Garrison", "Ravens at Dawn"),
            ("Word Orchard", "Guess Again", "Quick Sketch", "Two Truths", "The Quiz Attic"),
        ),
    ),
    Category(
        "Baby care",
        "shop",
        0.9,
        {"small children": 1.5},
        (
            ("cloth diapers", "changing mat", "wipe warmer", "diaper bag", "barrier cream"),
            ("baby bottle set", "bottle warmer", "silicone bibs", "high chair", "weaning spoons"),
            ("sleeping bag", "night light", "crib mobile", "swaddle blanket", "baby monitor"),
            ("teething ring", "play mat", "rattle set", "bath thermometer", "carrier sling"),
        ),
    ),
    Category(
        "Headphones",
        "shop",
        0.7,
        {"tinkering": 0.5, "games": 0.6, "sport": 0.3},
        (
            ("noise-canceling headphones", "travel headphones", "quiet earbuds", "spare ear pads"),
            (
                "gaming headset",
                "boom microphone",
                "wireless headset",
                "headset stand",
                "surround adapter",
            ),
            (
                "sport earbuds",
                "bone-conduction band",
                "clip-on earbuds",
                "ear hooks",
                "charging case",
            ),
            (
                "studio headphones",
                "open-back headphones",
                "headphone amp",
                "balanced cable",
                "oak stand",
            ),
        ),
    ),
    Category(
        "Building toys",
        "shop",
        0.8,
        {"small children": 0.7, "games": 0.5, "tinkering": 0.2},
        (
            (
                "castle brick set",
                "fire brigade bricks",
                "farm brick set",
                "harbor brick set",
                "city bricks",
            ),
            ("marble run", "gear kit", "crane kit", "pulley kit", "domino machine"),
            ("wooden blocks", "stacking arches", "rainbow planks", "train track", "balance stones"),
            ("robot kit", "crystal radio", "solar car", "circuit box", "rubber-band rover"),
        ),
    ),
    Category(
        "Perfume",
        "shop",
        0.6,
        {"quiet evenings": 0.6, "going away": 0.2},
        (
            ("Cedar No. 4", "Smoke and Vetiver", "Tobacco Leaf", "Dark Amber", "Old Library"),
            ("Bergamot Morning", "Lemon Grove", "Green Fig", "Neroli Water", "Mint Garden"),
            ("White Peony", "Lilac Rain", "Tuberose Night", "Rose Attic", "Violet Hour"),
            ("Vanilla Bark", "Salted Caramel", "Honey Cloud", "Almond Milk", "Cocoa Husk"),
        ),
    ),
    Category(
        "Jewelry",
        "shop",
        0.6,
        {"quiet evenings": 0.5, "food": 0.1},
        (
            ("silver hoops", "pearl studs", "leaf earrings", "drop earrings", "ear cuff"),
            ("signet ring", "twisted band", "moonstone ring", "stacking rings", "enamel ring"),
            ("locket", "pendant chain", "choker", "bead necklace", "initial necklace"),
            ("charm bracelet", "leather cord", "tennis bracelet", "anklet", "cuff bracelet"),
        ),
    ),
    Category(
        "Pet supplies",
        "shop",
        0.9,
        {"garden": 0.4, "small children": 0.3, "going away": 0.3, "quiet evenings": 0.3},
        (
            ("dog leash", "dog bed", "chew bone", "fetch ball", "harness"),
            ("scratching post", "cat tunnel", "litter scoop", "feather wand", "window hammock"),
            ("aquarium filter", "pond net", "gravel cleaner", "fish flakes", "tank light"),
            ("bird feeder", "hay rack", "hutch cover", "nesting box", "hamster wheel"),
        ),
    ),
    Category(
        "Workshop tools",
        "shop",
        0.9,
        {"tinkering": 1.4, "garden": 0.25},
        (
            ("block plane", "dovetail saw", "chisel set", "marking gauge", "mallet"),
            ("cordless drill", "impact driver", "jigsaw", "orbital sander", "router"),
            ("soldering iron", "multimeter", "wire stripper", "bench supply", "heat gun"),
            ("socket set", "torque wrench", "tap and die set", "vise", "feeler gauges"),
        ),
    ),
    Category(
        "Camping",
        "shop",
        0.9,
        {"going away": 1.3, "sport": 0.3},
        (
            ("two-person tent", "tarp shelter", "family tent", "guy line kit", "groundsheet"),
            ("down quilt", "sleeping pad", "camp pillow", "hammock", "bivy sack"),
            ("gas stove", "titanium mug", "folding grill", "water filter", "cook set"),
            ("camp lantern", "dry bag", "hiking pack", "multi-tool", "folding chair"),
        ),
    ),
)
"""The catalog. Every category has four shelves."""


def title(category: Category, shelf: int, number: int) -> str:
    """The title of the ``number``-th item on a shelf; no two numbers share one.

    >>> kitchen = next(c for c in CATEGORIES if c.name == "Kitchen")
    >>> title(kitchen, 0, 0), title(kitchen, 0, 150)
    ('Ambleforth cast-iron skillet', 'Ambleforth cast-iron skillet in slate')
    """
    tails = category.shelves[shelf]
    edition, place = divmod(number, len(category.heads) * len(tails))
    # Step through both lists at once, so that neighbors differ in head and tail: place ↦ (head,
    # tail) is a bijection because the tail advances once more each time the heads wrap around.
    turn, head = divmod(place, len(category.heads))
    text = f"{category.heads[head]} {tails[(head + turn) % len(tails)]}"
    if edition == 0:
        return text
    if category.department == "video":
        return f"{text}, Part {edition + 1}"
    series, color = divmod(edition - 1, len(COLORS))
    return f"{text} in {COLORS[color]}" + (f", series {series + 1}" if series else "")
