"""Questions about countries, one set of well-known ones and one of remote ones: capital, region, currency."""

from __future__ import annotations

from dataclasses import dataclass

from genies.data.starter.questions import Question, Splits, exchanged, stream

_TEST_COUNTRIES = 25
"""There are four questions per country, so 25 countries give 100 test questions and 50 give 200 train questions."""


@dataclass(frozen=True, slots=True)
class Country:
    name: str
    capital: str
    region: str
    currency: str


def known_countries() -> Splits:
    """Questions about countries that are often written about."""
    return _questions("starter_known_countries", KNOWN)


def remote_countries() -> Splits:
    """The same questions about countries that are seldom written about."""
    return _questions("starter_remote_countries", REMOTE)


def countries(table: str) -> list[Country]:
    """The countries of a table with one country per line: name | capital | region | currency."""
    return [Country(*(field.strip() for field in line.split("|"))) for line in table.strip().splitlines()]


def _questions(name: str, table: str) -> Splits:
    draw = stream(name)
    chosen = countries(table)
    draw.shuffle(chosen)
    train: list[Question] = []
    test: list[Question] = []
    for part, questions in ((chosen[_TEST_COUNTRIES:], train), (chosen[:_TEST_COUNTRIES], test)):
        for wording, answers in (
            ("What is the capital of {0.name}?", [country.capital for country in part]),
            ("Which country has {0.capital} as its capital?", [country.name for country in part]),
            ("In which part of the world will you find {0.name}?", [country.region for country in part]),
            ("Which currency do people in {0.name} pay with?", [country.currency for country in part]),
        ):
            wrong = exchanged(answers, 1, draw)
            questions += [
                Question(wording.format(country), answer, worse)
                for country, answer, worse in zip(part, answers, wrong, strict=True)
            ]
        draw.shuffle(questions)
    return Splits(train, test)


KNOWN = """
    France | Paris | Europe | the euro
    Germany | Berlin | Europe | the euro
    Italy | Rome | Europe | the euro
    Spain | Madrid | Europe | the euro
    Portugal | Lisbon | Europe | the euro
    Austria | Vienna | Europe | the euro
    Belgium | Brussels | Europe | the euro
    Ireland | Dublin | Europe | the euro
    Greece | Athens | Europe | the euro
    Finland | Helsinki | Europe | the euro
    the Netherlands | Amsterdam | Europe | the euro
    Croatia | Zagreb | Europe | the euro
    Slovakia | Bratislava | Europe | the euro
    the United Kingdom | London | Europe | the pound
    Norway | Oslo | Europe | the krone
    Denmark | Copenhagen | Europe | the krone
    Poland | Warsaw | Europe | the zloty
    Hungary | Budapest | Europe | the forint
    Romania | Bucharest | Europe | the leu
    Switzerland | Bern | Europe | the franc
    Ukraine | Kyiv | Europe | the hryvnia
    Serbia | Belgrade | Europe | the dinar
    China | Beijing | Asia | the yuan
    Japan | Tokyo | Asia | the yen
    South Korea | Seoul | Asia | the won
    North Korea | Pyongyang | Asia | the won
    India | New Delhi | Asia | the rupee
    Pakistan | Islamabad | Asia | the rupee
    Nepal | Kathmandu | Asia | the rupee
    Bangladesh | Dhaka | Asia | the taka
    Thailand | Bangkok | Asia | the baht
    Vietnam | Hanoi | Asia | the dong
    Malaysia | Kuala Lumpur | Asia | the ringgit
    the Philippines | Manila | Asia | the peso
    Saudi Arabia | Riyadh | Asia | the riyal
    Jordan | Amman | Asia | the dinar
    Iraq | Baghdad | Asia | the dinar
    Lebanon | Beirut | Asia | the pound
    Mongolia | Ulaanbaatar | Asia | the tugrik
    Qatar | Doha | Asia | the riyal
    the United Arab Emirates | Abu Dhabi | Asia | the dirham
    Syria | Damascus | Asia | the pound
    Egypt | Cairo | Africa | the pound
    Morocco | Rabat | Africa | the dirham
    Algeria | Algiers | Africa | the dinar
    Tunisia | Tunis | Africa | the dinar
    Libya | Tripoli | Africa | the dinar
    Kenya | Nairobi | Africa | the shilling
    Uganda | Kampala | Africa | the shilling
    Nigeria | Abuja | Africa | the naira
    Ethiopia | Addis Ababa | Africa | the birr
    Ghana | Accra | Africa | the cedi
    Senegal | Dakar | Africa | the franc
    Sudan | Khartoum | Africa | the pound
    Angola | Luanda | Africa | the kwanza
    the United States | Washington | North America | the dollar
    Canada | Ottawa | North America | the dollar
    Jamaica | Kingston | North America | the dollar
    the Bahamas | Nassau | North America | the dollar
    Cuba | Havana | North America | the peso
    Costa Rica | San José | North America | the colón
    Honduras | Tegucigalpa | North America | the lempira
    Nicaragua | Managua | North America | the córdoba
    Haiti | Port-au-Prince | North America | the gourde
    Brazil | Brasília | South America | the real
    Argentina | Buenos Aires | South America | the peso
    Chile | Santiago | South America | the peso
    Colombia | Bogotá | South America | the peso
    Uruguay | Montevideo | South America | the peso
    Peru | Lima | South America | the sol
    Venezuela | Caracas | South America | the bolívar
    Paraguay | Asunción | South America | the guaraní
    Ecuador | Quito | South America | the dollar
    Australia | Canberra | Oceania | the dollar
    New Zealand | Wellington | Oceania | the dollar
"""

REMOTE = """
    Albania | Tirana | Europe | the lek
    Estonia | Tallinn | Europe | the euro
    Latvia | Riga | Europe | the euro
    Lithuania | Vilnius | Europe | the euro
    Slovenia | Ljubljana | Europe | the euro
    Malta | Valletta | Europe | the euro
    Montenegro | Podgorica | Europe | the euro
    Moldova | Chișinău | Europe | the leu
    Liechtenstein | Vaduz | Europe | the franc
    Bosnia and Herzegovina | Sarajevo | Europe | the mark
    Belarus | Minsk | Europe | the rouble
    Iceland | Reykjavik | Europe | the krona
    Bhutan | Thimphu | Asia | the ngultrum
    Laos | Vientiane | Asia | the kip
    Myanmar | Naypyidaw | Asia | the kyat
    Brunei | Bandar Seri Begawan | Asia | the dollar
    the Maldives | Malé | Asia | the rufiyaa
    East Timor | Dili | Asia | the dollar
    Kyrgyzstan | Bishkek | Asia | the som
    Uzbekistan | Tashkent | Asia | the som
    Tajikistan | Dushanbe | Asia | the somoni
    Turkmenistan | Ashgabat | Asia | the manat
    Oman | Muscat | Asia | the rial
    Bahrain | Manama | Asia | the dinar
    Burkina Faso | Ouagadougou | Africa | the franc
    Mali | Bamako | Africa | the franc
    Niger | Niamey | Africa | the franc
    Chad | N'Djamena | Africa | the franc
    Benin | Porto-Novo | Africa | the franc
    Togo | Lomé | Africa | the franc
    Gabon | Libreville | Africa | the franc
    Cameroon | Yaoundé | Africa | the franc
    Guinea | Conakry | Africa | the franc
    Rwanda | Kigali | Africa | the franc
    the Comoros | Moroni | Africa | the franc
    the Central African Republic | Bangui | Africa | the franc
    the Republic of the Congo | Brazzaville | Africa | the franc
    the Gambia | Banjul | Africa | the dalasi
    Liberia | Monrovia | Africa | the dollar
    Mauritania | Nouakchott | Africa | the ouguiya
    Eritrea | Asmara | Africa | the nakfa
    Somalia | Mogadishu | Africa | the shilling
    Tanzania | Dodoma | Africa | the shilling
    Malawi | Lilongwe | Africa | the kwacha
    Zambia | Lusaka | Africa | the kwacha
    Mozambique | Maputo | Africa | the metical
    Madagascar | Antananarivo | Africa | the ariary
    Botswana | Gaborone | Africa | the pula
    Namibia | Windhoek | Africa | the dollar
    Lesotho | Maseru | Africa | the loti
    Cape Verde | Praia | Africa | the escudo
    Mauritius | Port Louis | Africa | the rupee
    the Seychelles | Victoria | Africa | the rupee
    South Sudan | Juba | Africa | the pound
    Belize | Belmopan | North America | the dollar
    Dominica | Roseau | North America | the dollar
    Saint Lucia | Castries | North America | the dollar
    Barbados | Bridgetown | North America | the dollar
    Grenada | St George's | North America | the dollar
    Antigua and Barbuda | St John's | North America | the dollar
    Trinidad and Tobago | Port of Spain | North America | the dollar
    the Dominican Republic | Santo Domingo | North America | the peso
    Suriname | Paramaribo | South America | the dollar
    Guyana | Georgetown | South America | the dollar
    Fiji | Suva | Oceania | the dollar
    Kiribati | Tarawa | Oceania | the dollar
    the Solomon Islands | Honiara | Oceania | the dollar
    Palau | Ngerulmud | Oceania | the dollar
    the Marshall Islands | Majuro | Oceania | the dollar
    Micronesia | Palikir | Oceania | the dollar
    Vanuatu | Port Vila | Oceania | the vatu
    Samoa | Apia | Oceania | the tala
    Tonga | Nuku'alofa | Oceania | the pa'anga
    Papua New Guinea | Port Moresby | Oceania | the kina
    Tuvalu | Funafuti | Oceania | the dollar
"""
