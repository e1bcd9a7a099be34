"""The words that tell what a value is: in keys, topics, and in front of a value in text. Many languages, one table.

A word stands folded (lower case, no accents, no separators): `codice_fiscale`, `codiceFiscale` and "Codice fiscale" all
read `codicefiscale`. Each kind is a promise about the value that is then checked by the value's own shape.
"""

from __future__ import annotations

from functools import lru_cache

from actod.mask.abroad import MORE, SPOKEN
from actod.mask.abroad import PETS as _PETS
from actod.mask.abroad import THINGS as _THINGS
from actod.mask.folding import fold

KINDS: dict[str, str] = {
    "email": "email mail emailaddress mailaddress correo correoelectronico courriel epost eposta mailto",
    "phone": (
        "phone phonenumber mobile mobilenumber mobilephone cellphone tel telephone telefon telefono telefone telefoon tlf "
        "handy handynummer mobil mobilnummer mobiltelefon rufnummer telefonnummer celular movil portable msisdn fax whatsapp sms "
        "callback hotline komorka cellulare gsm telefonu telnr telefoonnummer mobiel call dial puhelin telefonszam"
    ),
    "card": (
        "card cardnumber cardno creditcard creditcardnumber debitcard paymentcard cc ccnumber pan cardpan kreditkarte "
        "kartennummer cartedecredit cartebancaire carteblue tarjeta tarjetadecredito cartadicredito cartao cartaodecredito "
        "kartakredytowa creditcardnr kreditkort kaart primaryaccountnumber"
    ),
    "iban": (
        "iban bankaccount accountnumber accountno kontonummer bankverbindung konto compte comptebancaire cuentabancaria "
        "contobancario contacorrente rachunek rekening rekeningnummer bankkonto ibannumber refundaccount bic"
    ),
    "us_ssn": "ssn socialsecurity socialsecuritynumber socialsecurityno socsec ssnumber",
    "uk_nino": "nino nationalinsurance nationalinsurancenumber ninumber nino ni nationalinsuranceno",
    "de_steuerid": (
        "steuerid steueridentifikationsnummer steueridnr steuernummer steuernr idnr taxid taxidentification taxnumber "
        "taxidnumber identifikationsnummer tin steueridentnr"
    ),
    "fr_nir": "nir securitesociale numerosecuritesociale secu numerodesecuritesociale numerosecu insee nss numsecu",
    "es_dni": "dni nif nie dninumber documentodeidentidad documentonacional cedula",
    "it_cf": "codicefiscale cf codfiscale codfisc fiscalcode",
    "nl_bsn": "bsn burgerservicenummer sofinummer sofi",
    "pl_pesel": "pesel numerpesel nrpesel",
    "br_cpf": "cpf cadastrodepessoas",
    "in_aadhaar": "aadhaar aadhar adhaar uidai aadhaarnumber",
    "national_id": (
        "nationalid nationalidnumber personalid idcard idcardnumber identitycard identitynumber personnummer personalnumber "
        "personalausweis ausweis ausweisnummer identitydocument citizenid residentid cpr fodselsnummer henkilotunnus "
        "sozialversicherungsnummer sozialversicherung svnr ahv ahvnummer rodnecislo cnp egn oib driverlicence driverlicense "
        "drivinglicence drivinglicense driverslicense fuhrerschein permisdeconduire taxpayerid payerid insurancenumber "
        "medicare nhsnumber healthcardnumber patientid sin curp rfc mynumber"
    ),
    "ip": (
        "ip ipaddress ipaddr ipv4 ipv6 addr6 addr4 ipv6address ipv4address clientip remoteip hostip serverip localip sourceip "
        "srcip dstip destip peerip remoteaddr remoteaddress clientaddress gateway nameserver dns peer lease inet inet6 brokerip"
    ),
    "mac": (
        "mac macaddress macaddr bssid hwaddr hwaddress hardwareaddress ethernetaddress bluetoothaddress btaddress btaddr bdaddr "
        "bleaddress ble wlanmac wifimac eui48 eui64 beaconmac apmac beacon"
    ),
    "gps_lat": "lat latitude breitengrad latitud latitudine gpslat latdeg late7 latituded latitude7 latwgs84",
    "gps_lon": "lon lng long longitude laengengrad langengrad longitud longitudine gpslon gpslng londeg lone7 lnge7 longwgs84",
    "gps": "gps gpsposition gpscoordinates gpsfix gpslocation geolocation geopoint geo latlon latlng lonlat wgs84 nmea coordinates",
    "person": (
        "person personname fullname firstname lastname givenname familyname surname forename middlename maidenname displayname "
        "nickname operator operatorname drivername technician techniciantname technicianname engineer mechanic "
        "supervisor foreman worker workername employee employeename staff staffname colleague customer customername "
        "clientname contact contactname contactperson visitor visitorname guest guestname patient patientname user username "
        "userid login loginname author reporter reportedby reporteduser assignee assignedto assigned acknowledgedby ackby "
        "approvedby approver signedby signer signee createdby updatedby requestedby requester recipientname addressee "
        "sendername owner ownername holder holdername cardholder accountholder passenger pedestrian responsible personresponsible "
        "shiftlead shiftleader teamleader teamlead manager inspector auditor pickername picker packer packername consignee "
        "who spokesperson speakername name1 name2 realname legalname callername caller bediener "
        "fahrer fahrername mitarbeiter mitarbeitername vorname nachname techniker kunde kundenname empfanger absender ansprechpartner "
        "bearbeiter schichtleiter monteur besucher nom prenom nomcomplet operateur conducteur technicien employe destinataire "
        "nombre apellido apellidos nombrecompleto operario operador conductor tecnico empleado destinatario "
        "nome cognome nomecompleto operatore autista dipendente destinatario sobrenome funcionario motorista tecnica "
        "imie nazwisko imieinazwisko kierowca pracownik technik klient naam voornaam achternaam volledigenaam bestuurder "
        "medewerker klant namn fornamn efternamn forare kund navn fornavn etternavn jmeno prijmeni namen isim soyad adsoyad"
    ),
    "agent": "driver client sender recipient speaker",
    "address": (
        "address addr deliveryaddress streetaddress street homeaddress shippingaddress billingaddress postaladdress mailingaddress "
        "pickupaddress dropoffaddress residence addressline address1 address2 addressline1 addressline2 shipto deliverto "
        "adresse anschrift lieferadresse strasse wohnort wohnanschrift rechnungsadresse adresselivraison rue domicile direccion calle "
        "domicilio indirizzo via endereco rua logradouro adres ulica straat woonadres afleveradres adress gatuadress gata utca cim osoite"
    ),
    "dob": (
        "dob dateofbirth birthdate birthday birth born bornon geburtsdatum geburtstag geboren datedenaissance naissance "
        "fechadenacimiento fechanacimiento nacimiento nacido datadinascita datanascita nascita nato nata datadenascimento datanascimento "
        "nascimento nascido dataurodzenia urodzenia urodzony urodzona geboortedatum geboorte fodelsedatum fodselsdato fodt dateborn bday "
        "birthyear yearofbirth geburt gebdatum geb nee ne syntymaaika"
    ),
    "passport": (
        "passport passportno passportnumber passportnum reisepass reisepassnummer passeport numeropasseport pasaporte "
        "numeropasaporte passaporto passaporte paszport numerpaszportu paspoort paspoortnummer pass traveldocument passnummer pas passnr"
    ),
    "plate": (
        "plate licenseplate licenceplate plateno platenumber vehicleplate numberplate registrationplate licenseplatenumber "
        "kennzeichen nummernschild autokennzeichen immatriculation plaqueimmatriculation plaque matricula targa placa kenteken "
        "tablica rejestracyjny rejestracja registrationnumber vehicleregistration vrm regno registreringsnummer truckplate carplate "
        "trailerplate plates tablicarejestracyjna vehiclereg lkwkennzeichen"
    ),
    "badge": (
        "badge badgeid badgeno badgenumber badgeuid rfid rfidtag rfiduid nfc nfcuid nfcid cardid carduid employeeid employeeno "
        "employeenumber staffid staffno staffnumber personnelno personnelnumber personalnummer mitarbeiternummer mitarbeiterid "
        "operatorid workerid driverid visitorid keycard keyfob accesscard transponder chipid dallas ibutton matricule tagholder"
    ),
    "biometric": (
        "fingerprintid fingerprinttemplate fingerprintdata faceid facetemplate faceembedding faceencoding voiceprint voiceid iris "
        "irisid iristemplate retina biometric biometricid biometrics palmprint palmvein gaittemplate facehash facevector fingertemplate"
    ),
    "password": (
        "password passwd pwd passphrase passcode pincode userpin wpspin unlockcode secret clientsecret apisecret secretkey "
        "sharedsecret appsecret consumersecret passwort kennwort motdepasse contrasena clave senha haslo wachtwoord losenord "
        "credential credentials creds mqttpassword dbpassword rootpassword adminpassword sshpassword userpassword otp totp totpseed "
        "heslo salasana parola sifre accesscode doorcode gatecode alarmcode safecode recoverycode seedphrase mnemonic"
    ),
    "wifi_key": (
        "psk presharedkey wpapsk wifipassword wifipass wifikey wpapassphrase wpakey wepkey wlanpassword wlankey wlanschlussel "
        "networkkey sae saepassword wpa2psk wpa3psk wifipsk wifisecret hotspotpassword netzwerkschlussel clewifi"
    ),
    "token": (
        "token pw pswd accesstoken authtoken refreshtoken idtoken sessiontoken bearertoken bearer authorizationtoken authorization auth "
        "jwt cookie setcookie sessionid sessionkey sessioncookie sid csrf csrftoken xsrftoken apitoken bottoken pushtoken devicetoken "
        "githubtoken ghtoken gitlabtoken slacktoken webhook webhookurl slackwebhook proxyauthorization oauth oauthtoken sas sastoken "
        "xauthtoken xapikey signedurl sharedaccesssignature jeton zugangstoken"
    ),
    "key": (
        "apikey accesskey accesskeyid secretaccesskey privatekey encryptionkey signingkey masterkey tlskey sslkey sshkey awskey "
        "openaikey openaiapikey stripekey stripesecret llmkey llmapikey modelkey googleapikey azurekey storagekey accountkey hmackey "
        "hmacsecret serverkey clientkey licensekey servicekey authkey deploykey subscriptionkey connectionstring connstr dsn databaseurl "
        "redisurl mongouri awsaccesskeyid awssecretaccesskey actoapikey actokey sharedaccesskey keymaterial aeskey symmetrickey"
    ),
    "vin": "vin vehicleidentificationnumber fahrgestellnummer",
}


def _table(kinds: dict[str, str]) -> dict[str, str]:
    return {fold(word).replace("-", "").replace("_", ""): kind for kind, words in kinds.items() for word in words.split()}


WORDS: dict[str, str] = {**_table(MORE), **_table(KINDS)}
CUES: dict[str, str] = {**WORDS, **_table(SPOKEN)}
"""What tells in a sentence."""
_VOWELS = "aeiouy"
_SHORTEST_COMPOUND, _LONGEST_THING = 5, 40
THINGS: frozenset[str] = frozenset(map(fold, _THINGS.split()))
_STEMS: frozenset[str] = THINGS | {word[:-1] for word in THINGS if len(word) > 4 and word[-1] in _VOWELS}
PETS: frozenset[str] = frozenset(map(fold, _PETS.split()))


def is_thing(word: str) -> bool:
    """Whether a folded word of a sentence means a machine, a tool, a place, a maker: also with an ending, or as a compound's head."""
    return word in THINGS or (_SHORTEST_COMPOUND <= len(word) <= _LONGEST_THING and _names_a_thing(word))


@lru_cache(maxsize=4096)
def _names_a_thing(word: str) -> bool:
    size = len(word)
    return any(word[:-cut] in _STEMS for cut in (1, 2, 3) if size - cut >= 4) or any(
        word[cut:] in THINGS for cut in range(2, size - 4)
    )


# A key that ends in one of these measures or counts: cell_mV, rotation_days, password_set.
UNITS: frozenset[str] = frozenset(
    (
        "mv kv uv v ma ua ah mah w kw mw wh kwh va ohm ms us ns s sec secs second seconds min mins minute minutes hr hrs hour hours day days "
        "week weeks month months year years c degc degf deg degrees rad rads rpm hz khz mhz ghz db dbm mm cm m km um nm kg g mg n kn nmm bar mbar "
        "pa kpa lux pct percent ppm px pixels bps kbps mbps mps kmh bytes kb mb gb count counts counter total qty set isset has is rotation rotated "
        "age stale retries failures changed updated len length size slot slots cells bucket bits bit chars digits ratio factor gain bound threshold"
    ).split()
)

# A key with one of these words counts, measures or names a thing. Weak shapes in its value are left alone.
BENIGN: frozenset[str] = frozenset(
    (
        "ts time timestamp stamp sec secs seconds nsec nanosec ns ms us usec epoch date created updated modified at seq sequence "
        "sequenceid count counter counts ticks tick bytes size len length index idx offset duration uptime freq frequency rate hz "
        "voltage temp temperature serial serialnumber sn part parts partno partnumber sku article order orderid orderno task taskid "
        "run runid trace traceid span spanid hash sha sha1 sha256 md5 checksum crc digest commit git build buildid version firmware fw "
        "sw hw revision rev uuid guid port pid theta pose position velocity effort ranges joint rpm encoder map mapid node "
        "nodeid edge edgeid frame frameid frames robot robotid agv amr lot batch error errorcode code status level type kind mode "
        "nonce job jobid mission missionid pallet container barcode ean gtin upc tracking shipment asset assetid material model "
        "headerid cycles odometer mileage distance weight price amount quantity qty torque pressure angle angles imu lidar "
        "points range intensity covariance matrix quaternion orientation twist acceleration altitude alt heading speed "
        "registers register opcode pc sp memory mem heap cpu load t tns tms tus stampns timens timems boot bootid "
        "seriennummer teil teilenummer artikel auftrag auftragsnummer charge fehler fehlercode zeit zeitstempel zahler "
        "zaehler laufzeit produktnummer bestellung bestellnummer piece commande numerodeserie referencia pedido pieza lote "
        "ordine lotto pezzo zamowienie numerseryjny bestelling onderdeel onderdeelnummer "
        "sscc epc gtin13 gtin14 barkod barcode code128 drive drives antrieb azionamento accionamiento variateur servo axis axes achse asse osi eje gearbox getriebe spindle valve ventil pump pumpe wheel motor motoru motore moteur silnik moottori motorul palette paleta paletti palle pall raklap palett palet pallina tote box carton karton caja carton colis kasse lada "
        "piezas parca alkatresz osa soucast dil czesc reservedel artikkel varenummer tuote vare codebarre codigobarras codicebarre strichcode streckkod vonalkod viivakoodi kodkreskowy barkodu caixa peca motorno "
        "hdop vdop pdop accuracy acc course cog sog bearing yaw sats satellites snr seri serino serienr serienummer seriennr numeroserie numserie matricola sorozatszam sarjanumero vyrobnicislo nrseryjny lotnr charge sarja parti tetel sarze "
        "zakazka rendeles siparis tilaus objednavka ordre comanda encomenda tick steps impulse pulses odo odom crc32 crc16 checksum8 thumbprint fingerprint etag rev reel spool bin"
    ).split()
)

# Of those, the ones whose value may be four numbers with dots.
VERSION: frozenset[str] = frozenset(
    "version firmware fw sw hw ver release rev revision build kernel driver bootloader protocol schema cfg config software "
    "hardware bios uboot image package patch v".split()
)

# Keys that say what a neighbour's value is: {"key": "phone", "value": ...}.
DESCRIPTORS: frozenset[str] = frozenset(
    "key name type field label attribute attr param parameter property header referencekey infotype column kind k tag".split()
)
SLOTS: frozenset[str] = frozenset(
    "value val values data content text referencevalue number no num nr id raw entry v item items input answer string body "
    "payload infodescription first last given family middle ad soyad isim full primary secondary home work main current old new".split()
)

# Words that, joined to a telling word, take its meaning away: token_count, user_agent, plate_thickness.
DISARMING: frozenset[str] = frozenset(
    (
        "count type agent limit expiry expires expiration expiresin ttl status state mode level enabled valid required present length size "
        "max min format policy version thickness width height temperature reader error errors rate hash hashalg public pub alg "
        "algorithm group role shift zone time timestamp date delay timeout retries score probability confidence detected visible temp gap "
        "distance speed position angle torque load interval hours hz on off ok verified exists primary foreign "
        "language lang locale unit units class category priority index queue event action file path dir folder "
        "presence absent active available connected interface iface panel station terminal console command request response input "
        "controller node topic frame plugin module service process thread device robot model manufacturer vendor firmware "
        "software hardware latency duration override intervention takeover stop button door kit attempts tries strength changes note notes comment remark message text"
    ).split()
)
