"""The telling words of `vocabulary.KINDS` in more languages and scripts, as they are written there.

They are folded when they are read in, so `rendszám` also stands for `rendszam`. Compounds and endings are taken apart by
`keys.kind_of_word`; what stands here are stems and heads.
"""

from __future__ import annotations

MORE: dict[str, str] = {
    "email": "メール メールアドレス 电子邮件 邮箱 이메일 전자우편 почта eposti sahkoposti emailova elektronickaposta sposta",
    "phone": (
        "mob telefoni telefonni telefonszám telszám teléfono puhelinnumero puhelinnro telefonszam mobilszám gsmno ceptelefonu ceptel telno "
        "telefonnr mobilnr mobilnummer tlfnr tlfnummer handynr rufnr numertelefonu nrtelefonu komórka komórkowy numerotelefone numerotelephone numtel portable "
        "cellulare numerotelefono numerocelular telefonlinja contactno callbackno kontaktnummer kontakttelefon vastaanotinnumero "
        "電話 電話番号 携帯 携帯番号 携帯電話 連絡先 전화 전화번호 휴대폰 휴대전화 핸드폰 연락처 手机 手机号 电话 电话号码 联系电话 телефон мобильный τηλέφωνο κινητό فون هاتف טלפון"
    ),
    "card": (
        "kart kartno kartnumarası kredikartı kortnummer kortnr kortti korttinumero luottokortti kartakredytowa nrkarty numerkarty karty karta čísrokarty číslokarty "
        "platebníkarta bankkártya kártyaszám hitelkártya cartão numerocartao numcarte numerocarte numerotarjeta numerocarta kaartnummer creditkaart "
        "betalkort dankort カード番号 クレジットカード クレジットカード番号 카드번호 신용카드 카드 银行卡 卡号 信用卡 карта номеркарты bankcard kartennr kreditkartennummer"
    ),
    "iban": (
        "čísloúčtu účet účtu bankovníúčet számlaszám bankszámla bankszámlaszám hesap hesapno hesapnumarası tilinumero pankkitili bankkontonummer "
        "nrkonta numerkonta kontobankowe numerrachunku contabancaria numeroconta numerocuenta cuenta numeroconto nrrekening kontonr bankgiro contbancar "
        "口座 口座番号 銀行口座 계좌 계좌번호 银行账号 银行账户 счет счёт номерсчета λογαριασμός"
    ),
    "us_ssn": "ssno ssnnumber socialsec socialsecnum ssnum usssn",
    "uk_nino": "ukni ukni natins natinsurance nationalins nationalinsno nin",
    "de_steuerid": "steuerident steuerlicheidentifikationsnummer steuerlicheidnr steueridentifikation identnr steuernr taxidde steuerlicheid",
    "fr_nir": "numsecu nosecu nosecuritesociale numsecuritesociale nosecuritesociale numss noss sécu numérosécu cartevitale vitale immatriculationsociale",
    "es_dni": "dninie niedni documentoidentidad documentoidentitad docidentidad docid nifnie carnetidentidad cif numerodni numeronie",
    "it_cf": "codfis cfisc codicefisc codfisc fiscale codfiscal",
    "nl_bsn": "burgerservicenr burgerservice burgerservicenummers sofinr bsnnr bsnnummer",
    "pl_pesel": "nrewidencyjny peselu",
    "br_cpf": "documentocpf numerocpf nrcpf cpftitular cadastropessoafisica cpfcnpj",
    "in_aadhaar": "aadhaarno aadharno adharno aadhaarid uid12 आधार आधारसंख्या आधारनंबर",
    "national_id": (
        "ehliyet ehliyetno rijbewijs rijbewijsnummer permisodeconducir carnetdeconducir körkort körkortsnummer ajokortti jogosítvány řidičskýprůkaz prawojazdy vozačkadozvola patente patentediguida cartadeconducao cnh kørekort førerkort permisconducere водительскоеудостоверение 運転免許証 免許証番号 운전면허 驾驶证 "
        "rodnéčíslo rodnecislo občanskýprůkaz čísloop kimlikno tckimlik tckimlikno kimliknumarası tckn kimlik személyi személyiszám személyiigazolvány "
        "szemelyiszam tajszám adóazonosító dowódosobisty nrdowodu dowod henkilötunnus hetu henkilönumero personnr cpr cprnummer cprnr fødselsnr "
        "cartedidentite carteidentite cni cartaidentita cartadidentita cartaoidentidade cartaocidadao cartãocidadão bilheteidentidade rg "
        "マイナンバー 個人番号 주민번호 주민등록번호 身份证 身份证号 инн снилс удостоверение αφμ αμκα cnpj codnumericpersonal jmbg emso asmenskodas isikukood personaskods"
    ),
    "ip": (
        "ipadresa ipadress ipadresse ipadresi ipcím ipcim indirizzoip direccionip enderecoip adresip adresseip ipadres ipaddresse iposoite ipアドレス ip주소 ip地址 ipадрес "
        "hostv6 v6addr v4addr peer6 peerip peeraddr remotehost dnsserver hostaddr listenaddr bindaddr ipaddresses"
    ),
    "mac": "macadresa macadress macadresse macadresi maccím maccim indirizzomac direccionmac enderecomac adresmac macadres macosoite macアドレス mac주소 mac地址 stamac clientmac bleaddr wifiaddr hwadresa",
    "gps_lat": (
        "zeměpisnášířka zemepisnasirka enlem leveysaste latitud breddgrad breddegrad szélességifok "
        "szerokośćgeograficzna latitudine breedtegraad 緯度 위도 纬度 широта πλάτος γεωγραφικόπλάτος latit geolat poslat gpsbreite latitudedeg latrad"
    ),
    "gps_lon": (
        "zeměpisnádélka zemepisnadelka boylam pituusaste längdgrad longitud længdegrad lengdegrad hosszúságifok "
        "długośćgeograficzna longitudine lengtegraad 経度 경도 经度 долгота μήκος γεωγραφικόμήκος geolon geolng poslon poslng gpslänge longitudedeg lonrad"
    ),
    # Width and length, too: many decimals must bear them out.
    "gps_weak": "breite länge lange šířka délka leveys pituus bredd längd bredde længde lengde szélesség hosszúság szerokość długość šírka dĺžka širina dolžina dužina breedte lengte larghezza",
    "gps": (
        "navsat navsatfix gnss gnssfix lla llh lnglat latlong longlat latlonalt geopos geoposition geopose geocoords gpscoords gpspos geolokace geolokalizacja "
        "polohagps gpspoloha konumgps gpskonum gpsposition ubicaciongps posizionegps positiongps gpsstandort standortgps 位置情報 gps座標 座標gps 위치정보 gps좌표 geolocalizacion "
        "geolocalisation geolocalizzazione geolocalizacao geoloc coordonneesgps coordenadasgps координаты lastgps lastfix"
    ),
    "person": (
        # operators, drivers, technicians, those who did or received something
        "obsluha řidič řidička řidiče zaměstnanec pracovník pracovnice mechanik technikům údržbář skladník dělník vedoucí mistr zákazník příjemce odesílatel "
        "jméno příjmení celéjméno křestníjméno přihlášenýuživatel uživatel prihlasenyuzivatel kontaktníosoba odpovědnáosoba "
        "förare föraren tekniker anställd medarbetare montör kund användare mottagare avsändare förnamn efternamn namn handläggare kontaktperson operatör "
        "condutor funcionário técnico operador motorista responsável utilizador utilizadores usuário cliente destinatário remetente nome apelido sobrenome primeironome nomecompleto "
        "operatör sürücü şoför teknisyen çalışan personel kullanıcı müşteri alıcı gönderen sorumlu yetkili adı soyadı adısoyadı adsoyad isim soyisim ustabaşı vardiyaamiri "
        "gépkezelő kezelő sofőr vezető műszerész szerelő dolgozó munkavállaló felhasználó ügyfél címzett feladó név neve teljesnév keresztnév vezetéknév utónév családnév kapcsolattartó műszakvezető "
        "担当者 担当 作業者 作業員 運転者 運転手 操作者 技術者 社員 従業員 お客様 顧客 受取人 送信者 氏名 名前 姓名 姓 名 苗字 責任者 利用者 ユーザー名 オペレーター "
        "작업자 담당자 운전자 기사 기술자 직원 사원 고객 사용자 수령인 발신자 이름 성명 성함 책임자 관리자이름 조작자 "
        "操作员 司机 驾驶员 技术员 员工 客户 联系人 收件人 用户名 负责人 名字 姓氏 "
        "водитель оператор техник сотрудник работник имя фамилия отчество фио пользователь клиент получатель ответственный механик водій імя прізвище "
        "οδηγός χειριστής τεχνικός όνομα επώνυμο ονοματεπώνυμο "
        "kuljettaja työntekijä käyttäjä asentaja teknikko asiakas vastaanottaja lähettäjä nimi etunimi sukunimi kokonimi vastuuhenkilö yhteyshenkilö käyttäjätunnus "
        "chauffør fører medarbejder montør bruger modtager afsender kunde navn fornavn efternavn etternavn kontaktperson sjåfør ansatt "
        "chauffeur bestuurder monteur medewerker gebruiker ontvanger afzender contactpersoon achternaam voornaam tussenvoegsel naamoperator "
        "operatorka kierowca mechanik pracownik użytkownik odbiorca nadawca zleceniodawca imię nazwisko imięinazwisko osobakontaktowa brygadzista kierownik mistrz "
        "șofer sofer conducător operatorul tehnician angajat utilizator destinatar expeditor nume prenume numecomplet numedefamilie "
        "conducteur conductrice opératrice cariste magasinier employé utilisateur expéditeur prénom interlocuteur chefdequipe "
        "carretillero conductor operaria técnico encargado usuario remitente primerapellido segundoapellido apellido1 apellido2 nombreyapellidos jefedeturno "
        "carrellista conducente manutentore addetto utente mittente magazziniere referente capoturno nominativo "
        "fahrerin bedienerin bediener melder meldender werker werkerin staplerfahrer lagerist nutzer benutzer benutzername anwender familienname zuname rufname "
        "instandhalter absender ersteller prüfer meister unterzeichner verantwortlicher verantwortliche "
        "vodič meno priezvisko vozač ime prezime voznik priimek vairuotojas vardas pavardė vadītājs vārds uzvārds juht eesnimi perekonnanimi "
        "pers persona persoon osoba personne henkilo kisi szemely osoby signatory reportedby reporter raisedby openedby closedby confirmedby resolvedby handledby checkedby inspectedby servicedby repairedby pickedby packedby shippedby receivedby "
        "enteredby recordedby witnessedby lasteditor editedby changedby modifiedby operatedby drivenby oncall operatoronduty dutyofficer crewmember"
    ),
    "address": (
        "adresa doručovacíadresa dodacíadresa ulice bydliště leveransadress hemadress besöksadress gatuadress endereço morada enderecoentrega adres teslimatadresi evadresi sokak cadde "
        "cím lakcím szállításicím kézbesítésicím lakhely 住所 お届け先 配送先 届け先 자택주소 住址 주소 배송지 배송주소 地址 收货地址 адрес адресдоставки διεύθυνση osoite toimitusosoite kotiosoite katuosoite "
        "leveringsadresse hjemmeadresse bopæl adresselivraison adressedelivraison domicile direccionentrega direcciondeentrega domicilio indirizzoconsegna indirizzodiconsegna residenza "
        "bezorgadres huisadres adresdostawy adreszamieszkania zamieszkania adresadelivrare adresalivrare domiciliu lieferadresse wohnadresse heimatadresse deliverto shipaddr homeaddr naslov"
    ),
    "dob": (
        "narozen narozena narození datumnarození datnar född födelsedatum födelsedag födelseår nascido nascida nascimento datanascimento doğum doğumtarihi doğumgünü született születési születésidátum születésnap szüldátum "
        "生年月日 誕生日 생년월일 생일 出生日期 出生 生日 датарождения рождения родился родилась датанародження ημερομηνίαγέννησης γέννηση syntymäaika syntymäpäivä syntynyt syntymä "
        "fødselsdato fødselsdag født datenaissance datedenaissance née né fechanacimiento nacido nacida datadinascita datanascita nato nata nascita geboortedatum geboren datadenastere datanașterii născut născută naștere "
        "urodzony urodzona dataurodzenia urodzenia urodzin geburtsdatum geb gebdat gebdatum gebtag geburtstag bornon birthdt dobirth dateofb dt_nasc dtnasc datumrođenja datumrojstva rođenja rojstva dzimšanas gimimo sünniaeg"
    ),
    "passport": (
        "čísločpasu číslopasu pasu cestovnípas cestovnípasč passnummer passnr passeport numeropassaporte numpassaporte passaporte pasaportno pasaport pasaportnumarası útlevél útlevélszám útlevélszáma "
        "パスポート パスポート番号 旅券 旅券番号 여권 여권번호 护照 护照号 护照号码 паспорт номерпаспорта διαβατήριο passinumero passi pasnummer pasnr nopasseport numpasseport numeropasaporte pasaporten numeropassaporto "
        "nrpaszportu paszport paszportu nrpaspoort reisepassnr reisepassnr passdoc mrz mrzline putovnica potnilist pașaport pașaportului nrpasaport"
    ),
    "plate": (
        "bilnummer bilnr spz ecv anpr alpr lpr lpn plateread platetext platenr platestring registračníznačka státnípoznávacíznačka poznávacíznačka registreringsnummer regnr regnummer registreringsskylt matrícula matriculas plaka plakası plakano plakalı plakasi "
        "rendszám rendszámú forgalmirendszám rendszámtábla ナンバープレート 車両ナンバー 車両番号 登録番号 車番 차량번호 번호판 차번호 车牌 车牌号 車牌 車牌号 車牌號 车牌号码 госномер номеравто номерной πινακίδα rekisterinumero rekisterikilpi rekkari rekisteritunnus "
        "nummerplade nummerplate reg.nr plaqueimmat plaque plaqueminéralogique immatriculé immatriculée immat numeroimmatriculation matriculavehiculo placavehiculo targaveicolo targato kentekenplaat kentekennummer nrrejestracyjny numerrejestracyjny rejestracyjny rejestracyjna rejestracyjnego rejestracyjnym nrrej numrej "
        "numărînmatriculare înmatriculare nrînmatriculare nrinmatriculare kfzkennzeichen amtlicheskennzeichen lkwkennz kennz nummernschild truckreg vehiclereg regplate registarska registrska tablice registarskaoznaka evč"
    ),
    "badge": "dienstausweis mitarbeiternr personalnr personelno sicilno anställningsnr dolgozóiszám osobníčíslo zaměstnaneckéčíslo nrpracownika numeroempleado numempleado numdipendente numfuncionario 社員番号 사원번호 工号 henkilöstönumero matrikelnummer",
    "password": (
        "heslo hesla heslem hesle lösenord lösenordet lösen palavrapasse palavra-passe senha senhas şifre şifresi parola parolası jelszó jelszava jelszavak パスワード 暗証番号 暗号 비밀번호 암호 패스워드 密码 口令 пароль пароля κωδικός salasana salasanan tunnussana "
        "adgangskode kodeord passord motdepasse mdp contraseña clave contrasenya parolachiave wachtwoord hasło hasła hasłem passwort kennwort passwörter geheimnis geheim geheimwort parolă parole zaporka lozinka geslo slaptažodis parool pword passwrd passwrt pswrd userpw adminpw rootpw loginpw secretvalue provisioningsecret tajemství hemlighet segredo secreto segreto salaisuus"
    ),
    "wifi_key": (
        "heslowifi wifiheslo wifilösenord lösenordwifi wifilösenordet senhawifi senhadowifi wifisenha wifişifresi wifişifre kablosuzağşifresi ağşifresi wifijelszó jelszówifi wifiパスワード wi-fiパスワード 無線パスワード 와이파이비밀번호 와이파이암호 wifi密码 "
        "wifisalasana langattomansalasana wlansalasana wificode wifikode wifikodeord motdepassewifi clewifi cléwifi clavewifi clavedewifi contraseñawifi contrasenawifi passwordwifi wachtwoordwifi wifiwachtwoord hasłowifi hasłodowifi wifihasło wlanpasswort wlanpass wlanpw wlankennwort wifipw wifikennwort parolawifi wifiparola wpakey wpapsk wpapass psk psk256 wpapresharedkey"
    ),
    "token": "tok accesstok authtok sessiontok apitok idtok refreshtok ssotoken přístupovýtoken dostępowytoken jetondacces トークン アクセストークン 토큰 令牌 токен authheader authz xauth bearertok sessid",
    "key": "klíč apiklic apiklíč nyckel apinyckel chaveapi chave clavedeapi cleapi cléapi chiaveapi apisleutel kluczapi klucz apianahtarı anahtar apikulcs kulcs apiavain apischlüssel schlüssel zugriffsschlüssel geheimschlüssel apiキー 秘密鍵 api키 密钥 ключ s3secret awssecret awsklic",
    "biometric": "otisk otiskprstu fingeravtryck parmakizi ujjlenyomat 指紋 지문 指纹 sormenjälki fingeraftryk empreintedigitale huella huelladactilar impronta vingerafdruk odciskpalca fingerabdruck",
}

# Words that tell in a sentence what they do not tell as a key.
SPOKEN: dict[str, str] = {
    "phone": "cell dzwonić zatelefonować volat ringa llamar appeler bellen anrufen soittaa hívni ligar volejte zavolejte ring ringa ligue ligar ara arayın hívja hívd dzwoń zadzwoń bel soita soitto kontakt rückruf rückrufnummer joindre llamar llame chiamare chiamate sună sunați 連絡 연락 mobile mobil",
    "dob": "d.o.b dob nar ur",
    "plate": "reg registered rz",
    "password": "pw pswd",
    "mac": "arp isat assoc associated disassoc deauth reassoc roam roaming bssid station sta ble bluetooth wlan wifi gerät device zařízení apparaat dispositivo appareil urządzenie enhet laite cihaz eszköz ap",
}

# Nouns for things: machines, tools, places, makers, goods. What stands under such a key, or behind such a word, is named
# after somebody at most. Stems are folded.
THINGS = (
    "manufacturer vendor brand maker make model supplier producer provider company firm organisation organization org oem "
    "hersteller lieferant marke fabricant fournisseur marque fabricante proveedor marca fornitore produttore fornecedor fabrikant leverancier merk producent dostawca marka "
    "výrobce dodavatel značka tillverkare leverantör märke üretici tedarikçi gyártó szállító márka valmistaja toimittaja merkki producător furnizor leverandør fabrikat メーカー 製造元 제조사 업체 制造商 供应商 производитель поставщик "
    "tool tools gripper nozzle bit blade bur endeffector eoat fixture jig werkzeug greifer outil préhenseur herramienta pinza utensile attrezzo ferramenta garra gereedschap grijper narzędzie chwytak nástroj nářadí "
    "chapadlo verktyg gripdon takım alet szerszám megfogó työkalu tarttuja unealtă værktøj griber 工具 ツール 공구 그리퍼 инструмент "
    "station stations dock docks docking bay gate ramp lane line cell zone area aisle rack shelf hall building floor room site plant depot warehouse storage yard terminal charger charging destination goal waypoint node location place "
    "ladestation station halle lager linie gasse tor rampe bereich zelle platz stellplatz arbeitsplatz ort ziel gebäude standort werk gare quai poste allée zone entrepôt bâtiment lieu "
    "estación muelle puerta línea nave pasillo almacén estante edificio lugar destino stazione banchina porta linea corridoio magazzino scaffale edificio luogo destinazione "
    "estação doca porta linha corredor armazém bancada prateleira edifício stanice stanoviště dok hala linka ulička sklad regál budova místo cíl station brygga hall hylla lager byggnad plats mål "
    "istasyon istasyonu rampa hat koridor depo raf bina yer hedef állomás rámpa csarnok sor folyosó raktár polc épület hely cél stacja dok hala linia aleja magazyn regał budynek miejsce cel asema laituri halli linja käytävä varasto hylly rakennus paikka kohde "
    "stație rampă hală linie culoar depozit raft clădire loc plads hylde bygning ステーション 倉庫 棟 充電器 스테이션 창고 도크 站 станция склад линия зал "
    "robot robots roboter robô amr agv fleet vehicle truck forklift cart trolley machine arm robotti robotu robotok robotul ロボット 로봇 机器人 робот "
    "fahrzeug stapler maschine véhicule chariot máquina vehículo carretilla macchina veicolo carrello voertuig heftruck pojazd wózek vozík vozidlo stroj fordon truck araç makine jármű gép targonca ajoneuvo trukki kone vehicul utilaj "
    "product projekt modul item article material part component motor pump sensor battery camera controller board module package plugin driver program recipe project mission job map layer scene world server host broker "
    "teil artikel produkt material motor pumpe akku batterie pièce produit moteur pieza producto pezzo prodotto motore peça produto onderdeel część produkt díl součást del komponent parça ürün motor alkatrész termék osa tuote piesă produs mapa karte carte mappa mapa kaart harita térkép kartta hartă"
)
# Of these, what carries a human name as a pet's name: one word behind it is its own, two are somebody's.
PETS = (
    "robot robots roboter robô amr agv cobot bot fleet vehicle truck forklift cart trolley machine arm robotti robotu robotok robotul fahrzeug stapler maschine véhicule chariot máquina vehículo carretilla macchina "
    "veicolo carrello voertuig heftruck pojazd wózek vozík vozidlo stroj fordon araç makine jármű gép targonca ajoneuvo trukki kone vehicul utilaj driver server host motor node goal model project mission program job"
)
